// Writes events of the device to a binary file, one record each: the bench sleeps meanwhile.
//
// Record: 32-bit cycle, 16-bit source, payload (WIDTH bits), zeros up to a multiple of 32 bits;
// least significant byte first. Records of one cycle are in the order of their sources.
// Recording is on while a file is given with the plusarg NAME=FILE.
module trace_logger #(
    parameter NAME = "trace",
    parameter COUNT = 1,  // sources
    parameter WIDTH = 80  // payload bits of a source
) (
    input clock,
    input reset,
    input [31:0] cycle,
    input [COUNT-1:0] valid,
    input [COUNT*WIDTH-1:0] payload
);
    localparam RECORD_BITS = (48 + WIDTH + 31) / 32 * 32;

    reg [8*256-1:0] file_name;
    integer file;
    integer i;
    reg [RECORD_BITS-1:0] record;

    initial begin
        file = 0;
        if ($value$plusargs({NAME, "=%s"}, file_name)) file = $fopen(file_name, "wb");
    end

    always @(posedge clock) if (file != 0 && !reset && valid != 0) begin
        for (i = 0; i < COUNT; i = i + 1)
            if (valid[i]) begin
                record = {payload[i*WIDTH +: WIDTH], i[15:0], cycle};
                $fwrite(file, "%u", record);
            end
    end
endmodule
