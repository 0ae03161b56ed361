// The host's end of a serial line: 8 data bits, no parity, one stop bit, at a rate of its own.
//
// Toggle host_put with up to CHUNK bytes in host_put_data, lowest first; they queue up. host_free says
// how many more fit. Received bytes: host_got of them so far; host_get_data shows CHUNK of them from
// number host_get on.
`timescale 1ns / 1ps

module serial_host #(
    parameter real BIT_NS = 333.3,
    parameter CHUNK = 64,
    parameter LOG2_ROOM = 13
) (
    output reg to_board,
    input from_board,

    input host_put,
    input [8*CHUNK-1:0] host_put_data,
    input [15:0] host_put_count,
    output [31:0] host_free,
    output reg [31:0] host_got,
    input [31:0] host_get,
    output reg [8*CHUNK-1:0] host_get_data
);
    localparam ROOM = 1 << LOG2_ROOM;
    reg [7:0] sending [0:ROOM-1];
    reg [7:0] received [0:ROOM-1];
    reg [31:0] put_at, sent;
    assign host_free = ROOM - (put_at - sent);

    integer i, j, k, m;
    initial begin
        to_board = 1;
        put_at = 0;
        host_got = 0;
        sent = 0;
    end

    always @(host_put) begin
        for (i = 0; i < host_put_count; i = i + 1)
            sending[(put_at + i) % ROOM] = host_put_data[8*i +: 8];
        put_at = put_at + host_put_count;
    end

    always @(host_get, host_got)
        for (m = 0; m < CHUNK; m = m + 1)
            host_get_data[8*m +: 8] = received[(host_get + m) % ROOM];

    reg [7:0] out;
    always begin
        wait (sent != put_at);
        out = sending[sent % ROOM];
        to_board = 0;
        #(BIT_NS);
        for (j = 0; j < 8; j = j + 1) begin
            to_board = out[j];
            #(BIT_NS);
        end
        to_board = 1;
        #(BIT_NS);
        sent = sent + 1;
    end

    reg [7:0] in;
    always begin
        @(negedge from_board);
        #(BIT_NS / 2);
        if (!from_board) begin
            for (k = 0; k < 8; k = k + 1) begin
                #(BIT_NS);
                in[k] = from_board;
            end
            #(BIT_NS);
            if (from_board) begin
                received[host_got % ROOM] = in;
                host_got = host_got + 1;
            end
        end
    end
endmodule
