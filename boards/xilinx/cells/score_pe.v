// The score array's cell for one DSP48: what module `score_pe` of the generator does, its registers placed as the DSP
// has them. A twice behind `k_in`, B behind the operand, M behind the product, P behind the sum:
//
//     a1 <= k_in; a2 <= a1; b <= the operand; m <= a2 * b; p <= sum_in + m
//
// so that `sum_in` can be PCIN, the cascade from the DSP above, and no partial sum enters the fabric. Latency 4 cycles
// from `k_in` to `sum_out`, 1 from `sum_in`, as in `score_pe`: the same bits in every cycle.
module score_pe_dsp48 #(
    parameter OPERAND_BITS = 18,
    parameter DEPTH_BITS = 5,
    parameter SUM_BITS = 40
) (
    input clk,
    input signed [OPERAND_BITS-1:0] k_in,
    input [DEPTH_BITS-1:0] operand_in,
    output reg signed [OPERAND_BITS-1:0] k_out,
    output reg [DEPTH_BITS-1:0] operand_out,
    input signed [SUM_BITS-1:0] sum_in,
    output signed [SUM_BITS-1:0] sum_out,
    input load_enable,
    input [DEPTH_BITS-1:0] load_operand,
    input signed [OPERAND_BITS-1:0] load_data
);
  (* ram_style = "distributed" *)
  reg signed [OPERAND_BITS-1:0] operands[(1<<DEPTH_BITS)-1:0];
  integer i;
  initial for (i = 0; i < (1 << DEPTH_BITS); i = i + 1) operands[i] = 0;

  reg load = 0;
  always @(posedge clk) begin
    load <= load_enable;
    if (load) operands[load_operand] <= load_data;
  end

  initial k_out = 0;
  initial operand_out = 0;
  always @(posedge clk) begin
    k_out <= k_in;
    operand_out <= operand_in;
  end

  // A register of its own, though it always equals `k_out`: this one lies in the DSP, that one between the cells.
  reg signed [OPERAND_BITS-1:0] a1 = 0;
  reg signed [OPERAND_BITS-1:0] a2 = 0;
  reg signed [OPERAND_BITS-1:0] b = 0;
  reg signed [2*OPERAND_BITS-1:0] m = 0;
  (* use_dsp = "yes" *)
  reg signed [SUM_BITS-1:0] p = 0;
  always @(posedge clk) begin
    a1 <= k_in;
    a2 <= a1;
    b <= operands[operand_out];
    m <= a2 * b;
    p <= sum_in + m;
  end
  assign sum_out = p;
endmodule
