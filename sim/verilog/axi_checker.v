// Watches one AXI4 port and says which rule was broken first; drives nothing.
//
// Rules: valid stays until ready, with a stable payload; no valid in reset; full INCR bursts that do
// not cross 4 KB; `last` on the beat that the length says; no response without its request, ids in
// their order; no unknown handshake signal. `failed` rises at the first violation and stays.
module axi_checker #(
    parameter NAME = "axi",
    parameter DATA_BITS = 64,
    parameter ID_BITS = 4,
    parameter ADDRESS_BITS = 40,
    parameter LOG2_IN_FLIGHT = 8  // most outstanding requests of one id, and of writes in all
) (
    input clock,
    input reset,
    input [31:0] cycle,

    input arvalid,
    input arready,
    input [ID_BITS-1:0] arid,
    input [ADDRESS_BITS-1:0] araddr,
    input [7:0] arlen,
    input [2:0] arsize,
    input [1:0] arburst,

    input rvalid,
    input rready,
    input [ID_BITS-1:0] rid,
    input [DATA_BITS-1:0] rdata,
    input [1:0] rresp,
    input rlast,

    input awvalid,
    input awready,
    input [ID_BITS-1:0] awid,
    input [ADDRESS_BITS-1:0] awaddr,
    input [7:0] awlen,
    input [2:0] awsize,
    input [1:0] awburst,

    input wvalid,
    input wready,
    input [DATA_BITS-1:0] wdata,
    input [DATA_BITS/8-1:0] wstrb,
    input wlast,

    input bvalid,
    input bready,
    input [ID_BITS-1:0] bid,
    input [1:0] bresp,

    output reg failed,
    output [31:0] outstanding  // requests without their (last) response
);
    localparam IDS = 1 << ID_BITS;
    localparam IN_FLIGHT = 1 << LOG2_IN_FLIGHT;
    localparam ADDRESS_PAYLOAD = ID_BITS + ADDRESS_BITS + 13;
    localparam READ_PAYLOAD = ID_BITS + DATA_BITS + 3;
    localparam WRITE_PAYLOAD = DATA_BITS + DATA_BITS / 8 + 1;

    task violation;
        input [8*48-1:0] rule;
        begin
            if (!failed) $display("axi_checker %0s: cycle %0d: %0s", NAME, cycle, rule);
            failed <= 1;
        end
    endtask

    // -- stability: what was offered and not taken last cycle ------------------------------------------
    wire [ADDRESS_PAYLOAD-1:0] ar = {arid, araddr, arlen, arsize, arburst};
    wire [ADDRESS_PAYLOAD-1:0] aw = {awid, awaddr, awlen, awsize, awburst};
    wire [READ_PAYLOAD-1:0] r = {rid, rdata, rresp, rlast};
    wire [WRITE_PAYLOAD-1:0] w = {wdata, wstrb, wlast};
    wire [ID_BITS+1:0] b = {bid, bresp};
    reg in_reset, held_ar, held_aw, held_r, held_w, held_b;
    reg [ADDRESS_PAYLOAD-1:0] last_ar, last_aw;
    reg [READ_PAYLOAD-1:0] last_r;
    reg [WRITE_PAYLOAD-1:0] last_w;
    reg [ID_BITS+1:0] last_b;

    // -- requests without their response ---------------------------------------------------------------
    reg [7:0] read_length [0:IDS*IN_FLIGHT-1];
    reg [LOG2_IN_FLIGHT-1:0] read_first [0:IDS-1];
    reg [LOG2_IN_FLIGHT:0] read_count [0:IDS-1];
    reg [7:0] read_beats [0:IDS-1];
    // Write data carries no id and may come before its address: lengths of both sides meet in a ring.
    reg [7:0] write_length [0:IN_FLIGHT-1];
    reg [ID_BITS-1:0] write_id [0:IN_FLIGHT-1];
    reg [7:0] data_length [0:IN_FLIGHT-1];
    reg [31:0] addresses, bursts, matched, reads, answers;
    reg [7:0] data_beats;
    reg [LOG2_IN_FLIGHT:0] write_count [0:IDS-1];  // bursts with address and data, not answered
    integer i;

    assign outstanding = reads + addresses - answers;

    function crosses_page;
        input [11:0] offset;
        input [7:0] length;
        input [2:0] size;
        crosses_page = ((offset >> size) << size) + ((length + 32'd1) << size) > 4096;
    endfunction

    function bad_burst;
        input [2:0] size;
        input [1:0] kind;
        bad_burst = kind != 2'b01 || (8 << size) > DATA_BITS;
    endfunction

    function [ID_BITS+LOG2_IN_FLIGHT-1:0] ring;
        input [ID_BITS-1:0] id;
        input [LOG2_IN_FLIGHT-1:0] place;
        ring = {id, place};
    endfunction

    initial begin
        failed = 0;
        in_reset = 0;
        clear;
    end

    task clear;
        begin
            held_ar = 0;
            held_aw = 0;
            held_r = 0;
            held_w = 0;
            held_b = 0;
            addresses = 0;
            bursts = 0;
            matched = 0;
            reads = 0;
            answers = 0;
            data_beats = 0;
            for (i = 0; i < IDS; i = i + 1) begin
                read_first[i] = 0;
                read_count[i] = 0;
                read_beats[i] = 0;
                write_count[i] = 0;
            end
        end
    endtask

    always @(posedge clock) if (reset) begin
        // The reset is synchronous: from its second cycle on everything must be quiet.
        if (in_reset && (arvalid || awvalid || wvalid)) violation("valid in reset");
        clear;
        in_reset = 1;
    end else begin
        in_reset = 0;
        if ((^{arvalid, awvalid, wvalid, rready, bready, arready, awready, wready, rvalid, bvalid})
            === 1'bx) violation("unknown valid or ready");

        if (held_ar && !arvalid) violation("arvalid dropped before arready");
        if (held_ar && arvalid && ar != last_ar) violation("read address changed before arready");
        if (held_aw && !awvalid) violation("awvalid dropped before awready");
        if (held_aw && awvalid && aw != last_aw) violation("write address changed before awready");
        if (held_w && !wvalid) violation("wvalid dropped before wready");
        if (held_w && wvalid && w != last_w) violation("write data changed before wready");
        if (held_r && !rvalid) violation("rvalid dropped before rready");
        if (held_r && rvalid && r != last_r) violation("read data changed before rready");
        if (held_b && !bvalid) violation("bvalid dropped before bready");
        if (held_b && bvalid && b != last_b) violation("write response changed before bready");
        held_ar = arvalid && !arready;
        held_aw = awvalid && !awready;
        held_w = wvalid && !wready;
        held_r = rvalid && !rready;
        held_b = bvalid && !bready;
        last_ar = ar;
        last_aw = aw;
        last_w = w;
        last_r = r;
        last_b = b;

        if (rvalid && rready) begin
            if (read_count[rid] == 0) violation("read data without a request");
            else begin
                if (rlast != (read_beats[rid] == read_length[ring(rid, read_first[rid])]))
                    violation("rlast is not at the last beat");
                read_beats[rid] = read_beats[rid] + 1;
                if (rlast) begin
                    read_beats[rid] = 0;
                    read_first[rid] = read_first[rid] + 1;
                    read_count[rid] = read_count[rid] - 1;
                    reads = reads - 1;
                end
            end
        end
        if (arvalid && arready) begin
            if (bad_burst(arsize, arburst)) violation("read burst of wrong kind or size");
            if (crosses_page(araddr, arlen, arsize)) violation("read burst crosses 4 KB");
            if (read_count[arid] == IN_FLIGHT) violation("more reads in flight than checked");
            read_length[ring(arid, read_first[arid] + read_count[arid][LOG2_IN_FLIGHT-1:0])] = arlen;
            read_count[arid] = read_count[arid] + 1;
            reads = reads + 1;
        end

        if (bvalid && bready) begin
            if (write_count[bid] == 0) violation("write response without its write");
            else begin
                write_count[bid] = write_count[bid] - 1;
                answers = answers + 1;
            end
        end
        if (wvalid && wready) begin
            // Said at once where the address came first; else when it comes, below.
            if (bursts != addresses
                && wlast != (data_beats == write_length[bursts[LOG2_IN_FLIGHT-1:0]]))
                violation("wlast is not at the last beat");
            data_length[bursts[LOG2_IN_FLIGHT-1:0]] = data_beats;
            data_beats = data_beats + 1;
            if (wlast) begin
                data_beats = 0;
                bursts = bursts + 1;
            end
        end
        if (awvalid && awready) begin
            if (bad_burst(awsize, awburst)) violation("write burst of wrong kind or size");
            if (crosses_page(awaddr, awlen, awsize)) violation("write burst crosses 4 KB");
            if (addresses - answers >= IN_FLIGHT) violation("more writes in flight than checked");
            write_length[addresses[LOG2_IN_FLIGHT-1:0]] = awlen;
            write_id[addresses[LOG2_IN_FLIGHT-1:0]] = awid;
            addresses = addresses + 1;
        end
        if (matched != addresses && matched != bursts) begin
            if (write_length[matched[LOG2_IN_FLIGHT-1:0]] != data_length[matched[LOG2_IN_FLIGHT-1:0]])
                violation("wlast is not at the last beat");
            i = write_id[matched[LOG2_IN_FLIGHT-1:0]];
            write_count[i] = write_count[i] + 1;
            matched = matched + 1;
        end
    end
endmodule
