"""Style and script of the page."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --card: #f6f7f9; --ink: #17202c; --soft: #5a6675; --line: #dfe3e8;
  --busy: #3a6fb7; --dependency: #8b62bd; --weights: #e2862a; --stream: #c9403a;
  --vectors: #d8b420; --hash: #8a5fd0; --input: #d86ea2; --idle: #e2e5ea;
  --stage0: #14806a; --stage1: #7cc2a4; --stage2: #4f9a2c; --stage3: #b3cf5f;
  --on0: #ffffff; --on1: #0c2b20; --on2: #ffffff; --on3: #1f2a06;
  --series0: #14806a; --series1: #c9403a; --series2: #3a6fb7; --series3: #e2862a;
  --series4: #8b62bd; --series5: #6b7683;
  --good: #12724f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161c; --card: #1a2029; --ink: #e9edf2; --soft: #9aa6b4; --line: #303a47;
  --busy: #5b93df; --dependency: #a683d6; --weights: #f09c49; --stream: #e3655e;
  --vectors: #e6c84a; --hash: #ac8be6; --input: #e78db9; --idle: #2a323d;
  --stage0: #2f9c84; --stage1: #9bd8bd; --stage2: #6dbb48; --stage3: #cbe381;
  --on0: #06130f; --on1: #0c2b20; --on2: #06130f; --on3: #1f2a06;
  --series0: #3fbfa2; --series1: #f0736c; --series2: #6ea4ee; --series3: #f4a65a;
  --series4: #b795e6; --series5: #a3afbd;
  --good: #4cc796; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 2px; }
p { margin: 0 0 10px; max-width: 96ch; }
.lead, .caption { color: var(--soft); }
.lead { margin: 6px 0 0; }
.caption { font-size: 13.5px; }
header { display: flex; flex-wrap: wrap; gap: 12px 24px; justify-content: space-between;
  align-items: flex-start; margin-bottom: 20px; }
.verdict { font-weight: 600; border: 2px solid currentColor; border-radius: 99px;
  padding: 5px 16px; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px;
  margin: 0 0 22px; padding: 0; }
.tiles div { background: var(--card); border-radius: 10px; padding: 11px 15px; }
.tiles dt { font-size: 13px; color: var(--soft); }
.tiles dd { margin: 0; font-size: 23px; font-weight: 600; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tiles dd small { font-size: 14px; font-weight: 500; }
.tiles span { display: block; font-size: 12.5px; color: var(--soft); }
section { margin: 0 0 30px; min-width: 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 0 44px; }
.wide { overflow-x: auto; }
.wide svg { min-width: 760px; }
svg { display: block; width: 100%; height: auto; font: 12.5px system-ui, -apple-system,
  "Segoe UI", Roboto, sans-serif; }
.pair svg { max-width: 500px; font-size: 13.5px; } #floor-plan { max-width: 430px; }
svg text { fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .soft { fill: var(--soft); } svg .bold { font-weight: 600; }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .tiny { font-size: 9.5px; }
svg .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 3.5px;
  stroke-linejoin: round; }
.grid { stroke: var(--line); } .roof { fill: none; stroke: var(--ink); stroke-width: 2.5; }
.under-roof { fill: var(--busy); opacity: .07; }
.reach { stroke: var(--soft); stroke-dasharray: 2 3; stroke-width: 1.5; }
.limit { stroke: var(--soft); stroke-width: 2.5; } .ring { stroke: var(--paper); stroke-width: 2; }
.engine { fill: none; stroke: var(--ink); stroke-width: 2.2; }
.engine-ground { fill: var(--idle); } .engine-fill { fill: var(--busy); opacity: .42;
  pointer-events: none; }
.sub-array { stroke: var(--ink); stroke-width: 1; opacity: .45; pointer-events: none; }
.unused { fill: var(--card); stroke: var(--line); stroke-dasharray: 3 3; }
.busy { fill: var(--busy); background: var(--busy); }
.dependency { fill: var(--dependency); background: var(--dependency); }
.weights { fill: var(--weights); background: var(--weights); }
.stream { fill: var(--stream); background: var(--stream); }
.vectors { fill: var(--vectors); background: var(--vectors); }
.hash { fill: var(--hash); background: var(--hash); }
.input { fill: var(--input); background: var(--input); }
.idle { fill: var(--idle); background: var(--idle); }
.stage0 { fill: var(--stage0); background: var(--stage0); }
.stage1 { fill: var(--stage1); background: var(--stage1); }
.stage2 { fill: var(--stage2); background: var(--stage2); }
.stage3 { fill: var(--stage3); background: var(--stage3); }
.stage0 + .on-stage { fill: var(--on0); } .stage1 + .on-stage { fill: var(--on1); }
.stage2 + .on-stage { fill: var(--on2); } .stage3 + .on-stage { fill: var(--on3); }
.series0 { fill: var(--series0); background: var(--series0); stroke: var(--series0); }
.series1 { fill: var(--series1); background: var(--series1); stroke: var(--series1); }
.series2 { fill: var(--series2); background: var(--series2); stroke: var(--series2); }
.series3 { fill: var(--series3); background: var(--series3); stroke: var(--series3); }
.series4 { fill: var(--series4); background: var(--series4); stroke: var(--series4); }
.series5 { fill: var(--series5); background: var(--series5); stroke: var(--series5); }
.series-line { fill: none; stroke-width: 2; }
.series-faint { fill: var(--soft); background: var(--soft); opacity: .3; }
.on-stage { pointer-events: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 4px 0 12px; padding: 0;
  list-style: none; font-size: 13.5px; }
.legend i { display: inline-block; width: 13px; height: 13px; border-radius: 3px;
  margin-right: 7px; vertical-align: -1.5px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 0 5px 20px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 600; }
table.words td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.words th { text-align: left; color: var(--soft); font-weight: 500; vertical-align: top; }
details { margin-top: 10px; font-size: 14px; }
summary { cursor: pointer; color: var(--soft); }
details .wide { padding-top: 6px; }
#readout { position: fixed; display: none; pointer-events: none; background: var(--paper);
  color: var(--ink); border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px;
  font-size: 13px; box-shadow: 0 4px 18px #0003; white-space: pre; z-index: 1;
  font-variant-numeric: tabular-nums; }
footer { color: var(--soft); font-size: 13px; }
@media (max-width: 600px) { main { padding: 18px 14px 32px; } h1 { font-size: 23px; }
  .verdict { white-space: normal; }
  .tiles { grid-template-columns: 1fr 1fr; } th, td { padding-left: 13px; } }
@media print { #readout { display: none; } }
"""

SCRIPT = """
(() => {
  const holder = document.getElementById("timeline-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent), box = document.getElementById("readout");
  const svg = document.getElementById("timeline");
  const hide = () => { box.style.display = "none"; };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", event => {
    const lane = event.target.dataset && event.target.dataset.lane;
    if (lane === undefined) return hide();
    const part = svg.getBoundingClientRect();
    const unit = svg.viewBox.baseVal.width / part.width;
    const share = ((event.clientX - part.left) * unit - data.left) / data.plot;
    const percent = data.percent[lane], bins = percent[0].length;
    const bin = Math.min(bins - 1, Math.max(0, Math.floor(share * bins)));
    const cycle = n => Math.round(n * data.cycles / bins).toLocaleString("en");
    box.textContent = [data.engines[lane] + ", cycles " + cycle(bin) + " to " + cycle(bin + 1)]
      .concat(data.causes.map((name, n) => [name, percent[n][bin]]).filter(row => row[1] > 0)
        .map(row => String(row[1]).padStart(3) + " % " + row[0])).join("\\n");
    box.style.display = "block";
    box.style.left = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8) + "px";
    box.style.top = Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8) + "px";
  });
})();
"""
