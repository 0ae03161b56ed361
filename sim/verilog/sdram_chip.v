// A 16-bit SDR SDRAM that checks what it is told: times, order, refresh. Bursts of four, CAS latency
// from the mode register. A broken rule sets `failed` and prints a line.
`timescale 1ns / 1ps

module sdram_chip #(
    parameter LOG2_ROWS = 13,
    parameter LOG2_COLUMNS = 9,
    parameter LOG2_BANKS = 2,
    parameter real START_NS = 100000,
    parameter real RCD_NS = 20,   // activate to column
    parameter real RP_NS = 20,    // precharge
    parameter real RAS_NS = 45,   // activate to precharge
    parameter real RC_NS = 67.5,  // activate to activate, refresh
    parameter real WR_NS = 15,    // last written column to precharge
    parameter real REFRESH_NS = 64000000.0,  // for all rows
    parameter REFRESHES = 8192,
    parameter real ACCESS_NS = 6,
    parameter real HOLD_NS = 2.5
) (
    input clk,
    input cke,
    input cs,  // pins as they are: active low
    input ras,
    input cas,
    input we,
    input [LOG2_ROWS-1:0] a,
    input [LOG2_BANKS-1:0] ba,
    input [1:0] dqm,
    inout [15:0] dq,
    output reg failed
);
    localparam BANKS = 1 << LOG2_BANKS;
    reg [15:0] cells [0:(1 << (LOG2_ROWS + LOG2_COLUMNS + LOG2_BANKS)) - 1];

    reg [BANKS-1:0] open;
    reg [LOG2_ROWS-1:0] row [0:BANKS-1];
    realtime activated [0:BANKS-1];
    realtime precharged [0:BANKS-1];
    realtime written [0:BANKS-1];
    realtime refreshed, started, moded;
    real debt;  // refreshes owed
    integer refreshes, latency, b;
    reg powered, ready;

    // Reads: what leaves after a clock edge; writes: what is still to be taken.
    reg [15:0] out;
    reg driving;
    reg [1:0] mask_1, mask_2;
    integer read_left, write_left;
    // Columns on their way: bit and place n was asked for n edges ago.
    reg [3:0] way;
    reg [LOG2_ROWS+LOG2_COLUMNS+LOG2_BANKS-1:0] way_at [0:3];
    reg [LOG2_ROWS+LOG2_COLUMNS+LOG2_BANKS-1:0] read_at, write_at;
    reg [LOG2_BANKS-1:0] write_bank, read_bank;

    assign dq = driving ? out : 16'bz;

    initial begin
        failed = 0;
        open = 0;
        powered = 0;
        ready = 0;
        refreshes = 0;
        latency = 0;
        driving = 0;
        out = 0;
        read_left = 0;
        way = 0;
        write_left = 0;
        debt = 0;
        mask_1 = 0;
        mask_2 = 0;
        started = 0;
        refreshed = -1000;
        moded = -1000;
        for (b = 0; b < BANKS; b = b + 1) begin
            activated[b] = -1000;
            precharged[b] = -1000;
            written[b] = -1000;
        end
    end

    task check;
        input good;
        input [8*40-1:0] what;
        if (!good) begin
            failed = 1;
            $display("sdram_chip %0t: %0s", $realtime, what);
        end
    endtask

    task precharge;
        input integer bank;
        if (open[bank]) begin
            check($realtime - activated[bank] >= RAS_NS, "row closed too early");
            check($realtime - written[bank] >= WR_NS, "row closed too soon after a write");
            check(!(read_left > 0 && read_bank == bank), "row closed during a read");
            check(!(write_left > 0 && write_bank == bank), "row closed during a write");
            open[bank] = 0;
            precharged[bank] = $realtime;
        end
    endtask

    wire [2:0] command = {ras, cas, we};
    wire [LOG2_COLUMNS-1:0] column = a[LOG2_COLUMNS-1:0];
    integer n;

    always @(posedge clk) begin
        if (!powered) begin
            powered = 1;
            started = $realtime;
            refreshed = $realtime;
        end
        if (!cs && cke) case (command)
            3'b111: ;
            3'b000: begin  // mode register
                check($realtime - started >= START_NS, "mode register too early");
                check(open == 0, "mode register with open rows");
                check(refreshes >= 2, "mode register before two refreshes");
                check(a[2:0] == 3'b010 && !a[3] && !a[9], "only bursts of four are modelled");
                latency = a[6:4];
                check(latency == 2 || latency == 3, "bad CAS latency");
                ready = 1;
                moded = $realtime;
            end
            3'b001: begin  // refresh
                check(open == 0, "refresh with open rows");
                for (n = 0; n < BANKS; n = n + 1)
                    check($realtime - precharged[n] >= RP_NS, "refresh too soon after precharge");
                check($realtime - refreshed >= RC_NS || refreshes == 0, "refresh too soon");
                if (ready) begin
                    debt = debt + ($realtime - refreshed) * REFRESHES / REFRESH_NS - 1;
                    if (debt < 0) debt = 0;
                end
                refreshed = $realtime;
                refreshes = refreshes + 1;
            end
            3'b010: begin  // precharge
                check($realtime - started >= START_NS, "precharge too early");
                for (n = 0; n < BANKS; n = n + 1) if (a[10] || ba == n) precharge(n);
            end
            3'b011: begin  // activate
                check(ready, "activate before the mode register");
                check($realtime - moded >= 14, "activate too soon after the mode register");
                check(!open[ba], "activate of an open bank");
                check($realtime - precharged[ba] >= RP_NS, "activate too soon after precharge");
                check($realtime - activated[ba] >= RC_NS, "activate too soon after activate");
                check($realtime - refreshed >= RC_NS, "activate too soon after refresh");
                open[ba] = 1;
                row[ba] = a;
                activated[ba] = $realtime;
            end
            3'b100, 3'b101: begin  // write, read
                check(open[ba], "column of a closed bank");
                check($realtime - activated[ba] >= RCD_NS, "column too soon after activate");
                check(!a[10], "automatic precharge is not modelled");
                check(column[1:0] == 0, "burst does not begin at a multiple of four");
                if (we) begin
                    read_at = {row[ba], ba, column};
                    read_bank = ba;
                    read_left = 4;
                    write_left = 0;
                end else begin
                    check(!driving && read_left == 0 && way == 0, "write while a read drives the bus");
                    write_at = {row[ba], ba, column};
                    write_bank = ba;
                    write_left = 4;
                end
            end
            default: check(0, "burst stop is not modelled");
        endcase
        if (ready)
            check(debt + ($realtime - refreshed) * REFRESHES / REFRESH_NS < 8.5, "refresh overdue");
        if (write_left > 0) begin
            check(^dq !== 1'bx, "nobody drives written data");
            if (!dqm[0]) cells[write_at][7:0] = dq[7:0];
            if (!dqm[1]) cells[write_at][15:8] = dq[15:8];
            write_at[1:0] = write_at[1:0] + 1;
            write_left = write_left - 1;
            written[write_bank] = $realtime;
        end
        way = {way[2:0], read_left > 0};
        for (n = 3; n > 0; n = n - 1) way_at[n] = way_at[n-1];
        way_at[0] = read_at;
        if (read_left > 0) begin
            read_at[1:0] = read_at[1:0] + 1;
            read_left = read_left - 1;
        end
        if (latency == 2) way[2] = 0;
        way[3] = 0;
        mask_2 = mask_1;
        mask_1 = dqm;
    end

    // The column that is on the bus for the next edge.
    always @(posedge clk) begin
        #(HOLD_NS) out = ~out;  // no longer what it was
        if (ready && way[latency-1]) begin
            #(ACCESS_NS - HOLD_NS);
            driving = 1;
            out = cells[way_at[latency-1]];
            check(mask_2 == 0, "masked reads are not modelled");
        end else driving = 0;
    end
endmodule
