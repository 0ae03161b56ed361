// Gated adder in ECP5 carry cells: total = product + (gate ? sum : 0).
//
// Techmap file, applied before synth_ecp5:
//     techmap -map gated_adder.v -D GATED_ADDER_WIDTH=<partial sum width>
//
// A CCU2C adds two bits. Each half has a four-input LUT for the sum without carry and reads the
// low four bits of its table as the two-input LUT of A and B for the carry when no carry passes:
//     LUT4 = A ^ (B & C)      table 16'h6a6a (D does not matter)
//     LUT2 = A                its low four bits, 4'ha
// With A the product, B the sum from above and C the gate the AND is for nothing. Where LUT4 is 0
// both summands are equal, so A is the carry.
(* techmap_celltype = "gated_adder" *)
module gated_adder (product, sum, gate, total);
    localparam WIDTH = `GATED_ADDER_WIDTH;
    localparam PAIRS = (WIDTH + 1) / 2;

    input [15:0] product;
    input [WIDTH-1:0] sum;
    input gate;
    output [WIDTH-1:0] total;

    wire [2*PAIRS-1:0] a = {{(2 * PAIRS - 15){product[15]}}, product[14:0]};
    wire [2*PAIRS-1:0] b = sum;  // the bit above an odd width is not read
    wire [2*PAIRS-1:0] s;
    wire [PAIRS:0] carry;

    assign carry[0] = 1'b0;
    assign total = s[WIDTH-1:0];

    genvar i;
    generate
        for (i = 0; i < PAIRS; i = i + 1) begin : pair
            CCU2C #(
                .INIT0(16'h6a6a),
                .INIT1(16'h6a6a),
                .INJECT1_0("NO"),
                .INJECT1_1("NO")
            ) adder (
                .CIN(carry[i]),
                .A0(a[2*i]), .B0(b[2*i]), .C0(gate), .D0(1'b1),
                .A1(a[2*i+1]), .B1(b[2*i+1]), .C1(gate), .D1(1'b1),
                .S0(s[2*i]), .S1(s[2*i+1]),
                .COUT(carry[i+1])
            );
        end
    endgenerate
endmodule
