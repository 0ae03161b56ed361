// The host on the AXI4-Lite port: one register access at a time, so that Python wakes once for each.
//
// Toggle host_request with is_write, address, data and strobe set; host_done follows it when the
// answer is in host_result and host_response. host_accepted: cycle of the address handshake (of the
// data handshake for a write).
module axil_master #(
    parameter ADDRESS_BITS = 12
) (
    input clock,
    input reset,
    input [31:0] cycle,

    input host_request,
    input host_is_write,
    input [ADDRESS_BITS-1:0] host_address,
    input [31:0] host_data,
    input [3:0] host_strobe,
    output reg host_done,
    output reg [31:0] host_result,
    output reg [1:0] host_response,
    output reg [31:0] host_accepted,

    output [ADDRESS_BITS-1:0] awaddr,
    output reg awvalid,
    input awready,
    output [31:0] wdata,
    output [3:0] wstrb,
    output reg wvalid,
    input wready,
    input bvalid,
    output bready,
    input [1:0] bresp,
    output [ADDRESS_BITS-1:0] araddr,
    output reg arvalid,
    input arready,
    input rvalid,
    output rready,
    input [31:0] rdata,
    input [1:0] rresp
);
    reg busy;
    assign awaddr = host_address;
    assign araddr = host_address;
    assign wdata = host_data;
    assign wstrb = host_strobe;
    assign bready = busy;
    assign rready = busy;

    initial begin
        busy = 0;
        awvalid = 0;
        wvalid = 0;
        arvalid = 0;
        host_done = 0;
        host_result = 0;
        host_response = 0;
        host_accepted = 0;
    end

    always @(posedge clock) if (reset) begin
        busy <= 0;
        awvalid <= 0;
        wvalid <= 0;
        arvalid <= 0;
        host_done <= host_request;
    end else if (!busy) begin
        if (host_request != host_done) begin
            busy <= 1;
            awvalid <= host_is_write;
            wvalid <= host_is_write;
            arvalid <= !host_is_write;
        end
    end else begin
        if (awready) awvalid <= 0;
        if (wready) wvalid <= 0;
        if (arready) arvalid <= 0;
        if (wvalid && wready || arvalid && arready) host_accepted <= cycle;
        if (bvalid || rvalid) begin
            busy <= 0;
            host_done <= host_request;
            host_result <= rdata;
            host_response <= bvalid ? bresp : rresp;
        end
    end
endmodule
