// Behaviour of the ECP5 cells around a board's logic: PLL, pads, their registers. No delays but the
// PLL's phase: what depends on them is not shown by this simulation.
`timescale 1ns / 1ps

module EHXPLLL (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
    input PLLWAKESYNC, ENCLKOP, ENCLKOS,
    output reg CLKOP, CLKOS, LOCK
);
    parameter PLLRST_ENA = "DISABLED";
    parameter INTFB_WAKE = "DISABLED";
    parameter STDBY_ENABLE = "DISABLED";
    parameter DPHASE_SOURCE = "DISABLED";
    parameter OUTDIVIDER_MUXA = "DIVA";
    parameter OUTDIVIDER_MUXB = "DIVB";
    parameter CLKOP_ENABLE = "ENABLED";
    parameter CLKOS_ENABLE = "DISABLED";
    parameter FEEDBK_PATH = "CLKOP";
    parameter integer CLKI_DIV = 1;
    parameter integer CLKFB_DIV = 1;
    parameter integer CLKOP_DIV = 8;
    parameter integer CLKOP_CPHASE = 0;
    parameter integer CLKOP_FPHASE = 0;
    parameter integer CLKOS_DIV = 8;
    parameter integer CLKOS_CPHASE = 0;
    parameter integer CLKOS_FPHASE = 0;

    // The period comes from two edges of the input; the shift of CLKOS is less than half of it.
    localparam integer EIGHTHS =
        8 * (CLKOS_CPHASE - CLKOP_CPHASE) + CLKOS_FPHASE - CLKOP_FPHASE;
    realtime first, shift, rest;
    integer n;
    initial begin
        CLKOP = 0;
        CLKOS = 0;
        LOCK = 0;
        @(posedge CLKI) first = $realtime;
        @(posedge CLKI) rest = ($realtime - first) * CLKI_DIV / CLKFB_DIV;
        shift = rest * EIGHTHS / (8.0 * CLKOP_DIV);
        rest = rest / 2 - shift;
        for (n = 0; n < 20; n = n + 1) cycle;
        LOCK = 1;
        forever cycle;
    end
    task cycle;
        begin
            CLKOP = 1;
            #(shift) CLKOS = 1;
            #(rest) CLKOP = 0;
            #(shift) CLKOS = 0;
            #(rest);
        end
    endtask
endmodule

module IB (input I, output O);
    assign O = I;
endmodule

module OB (input I, output O);
    assign O = I;
endmodule

module OBZ (input I, input T, output O);
    assign O = T ? 1'bz : I;
endmodule

module BB (input I, input T, output O, inout B);
    assign B = T ? 1'bz : I;
    assign O = B;
endmodule

module FD1S3AX (input CK, input D, output reg Q);
    parameter GSR = "ENABLED";
    initial Q = 0;
    always @(posedge CK) Q <= D;
endmodule

module OFS1P3DX (input SCLK, SP, CD, D, output reg Q);
    parameter GSR = "ENABLED";
    initial Q = 0;
    always @(posedge SCLK or posedge CD)
        if (CD) Q <= 0;
        else if (SP) Q <= D;
endmodule

module IFS1P3DX (input SCLK, SP, CD, D, output reg Q);
    parameter GSR = "ENABLED";
    initial Q = 0;
    always @(posedge SCLK or posedge CD)
        if (CD) Q <= 0;
        else if (SP) Q <= D;
endmodule

module ODDRX1F (input SCLK, RST, D0, D1, output Q);
    reg high, low;
    initial {high, low} = 0;
    always @(posedge SCLK) begin
        high <= D0;
        low <= D1;
    end
    assign Q = SCLK ? high : low;
endmodule
