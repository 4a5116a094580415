// Writes stretches of consecutive cycles in which `moves` is high, for a trace: a line NAME, first cycle, number of
// cycles for each. `ends` closes a stretch with this cycle, so that two that touch stay two.

module stretch_log #(
    parameter string NAME = "stretch"
) (
    input wire         clk,
    input wire         reset,
    input wire integer file,                           // 0: nobody wants it
    input wire [31:0]  cycle,
    input wire         moves,
    input wire         ends
);
    reg [31:0] first, count;
    wire [31:0] begun = count == 0 ? cycle : first;
    always @(posedge clk)
        if (reset || file == 0) count <= 0;
        else begin
            first <= begun;
            count <= moves && !ends ? count + 1 : 0;
            if (moves && ends) $fdisplay(file, "%s %0d %0d", NAME, begun, count + 1);
            else if (!moves && count != 0) $fdisplay(file, "%s %0d %0d", NAME, first, count);
        end
endmodule
