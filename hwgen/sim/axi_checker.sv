// Watches one AXI4 port, or with constants on the missing signals one AXI4-Lite port, for breaches of the protocol.
// `violated` stays until the next reset; `rule` is the first rule that was broken, `since` the cycle in which that was:
//
//    1 RESET        a VALID is high in reset
//    2 AW_STABLE    AWVALID fell, or what comes with it changed, before AWREADY
//    3 W_STABLE     the same for W
//    4 B_STABLE     the same for B
//    5 AR_STABLE    the same for AR
//    6 R_STABLE     the same for R
//    7 PAGE         a burst reaches over a multiple of 4096 bytes
//    8 BURST        a burst is not of type INCR
//    9 SIZE         a beat is wider than the bus
//   10 WLAST        WLAST misses on the last beat of a burst, or is set on another
//   11 RLAST        the same for RLAST (unless `forgive_last`: then a burst ends where RLAST says)
//   12 W_AHEAD      a W beat is offered before its burst's AW (unless `forgive_ahead`: AXI allows that)
//   13 STROBE       WSTRB is set for a byte that does not belong to the beat
//   14 B_EARLY      B without a burst whose AW and last W have been taken
//   15 R_EARLY      R without a burst whose AR has been taken
//   16 READS        more than READS bursts wait for their last R
//   17 WRITES       more than WRITES bursts wait for their B
//   18 ID           a number other than 0 names a transaction
//   19 KIND         lock, cache, prot and qos are not those of KIND
//
// Up to 256 bursts may be in flight.

module axi_checker #(
    parameter ADDRESS = 64, parameter BUS = 128,       // address and data bits
    parameter READS = 16, parameter WRITES = 16,       // most bursts in flight
    parameter integer KIND = -1                        // awrest and arrest of every burst; -1 if any will do
) (
    input  wire               clk,
    input  wire               reset,
    input  wire               forgive_last,
    input  wire               forgive_ahead,
    input  wire               awid,
    input  wire [ADDRESS-1:0] awaddr,
    input  wire [7:0]         awlen,
    input  wire [2:0]         awsize,
    input  wire [1:0]         awburst,
    input  wire [11:0]        awrest,                  // lock, cache, prot and qos
    input  wire               awvalid,
    input  wire               awready,
    input  wire [BUS-1:0]     wdata,
    input  wire [BUS/8-1:0]   wstrb,
    input  wire               wlast,
    input  wire               wvalid,
    input  wire               wready,
    input  wire               bid,
    input  wire [1:0]         bresp,
    input  wire               bvalid,
    input  wire               bready,
    input  wire               arid,
    input  wire [ADDRESS-1:0] araddr,
    input  wire [7:0]         arlen,
    input  wire [2:0]         arsize,
    input  wire [1:0]         arburst,
    input  wire [11:0]        arrest,
    input  wire               arvalid,
    input  wire               arready,
    input  wire               rid,
    input  wire [BUS-1:0]     rdata,
    input  wire [1:0]         rresp,
    input  wire               rlast,
    input  wire               rvalid,
    input  wire               rready,
    output reg                violated,
    output reg  [4:0]         rule,
    output reg  [31:0]        since,
    output wire [8:0]         reads,                   // bursts in flight now
    output wire [8:0]         writes
);
    localparam BYTES = BUS / 8;
    localparam SHIFT = $clog2(BYTES);

    // What was offered and not taken has to be there still.
    reg aw_waits, w_waits, b_waits, ar_waits, r_waits;
    reg [ADDRESS+25:0] aw_was, ar_was;
    reg [BUS+BYTES:0] w_was;
    reg [2:0] b_was;
    reg [BUS+3:0] r_was;
    wire [ADDRESS+25:0] aw = {awid, awaddr, awlen, awsize, awburst, awrest};
    wire [ADDRESS+25:0] ar = {arid, araddr, arlen, arsize, arburst, arrest};
    wire [BUS+BYTES:0] w = {wdata, wstrb, wlast};
    wire [2:0] b = {bid, bresp};
    wire [BUS+3:0] r = {rid, rdata, rresp, rlast};
    always @(posedge clk) begin
        aw_waits <= !reset && awvalid && !awready;
        w_waits <= !reset && wvalid && !wready;
        b_waits <= !reset && bvalid && !bready;
        ar_waits <= !reset && arvalid && !arready;
        r_waits <= !reset && rvalid && !rready;
        aw_was <= aw; w_was <= w; b_was <= b; ar_was <= ar; r_was <= r;
    end

    // Bursts are numbered; the lower bits of a number are the burst's place in the tables.
    reg [8:0] aw_count, w_count, b_count, ar_count, r_count;
    reg [7:0] w_beat, r_beat;
    reg [7:0] aw_length [0:255];
    reg [2:0] aw_size   [0:255];
    reg [SHIFT:0] aw_low [0:255];
    reg [7:0] ar_length [0:255];
    assign reads = ar_count - r_count;
    assign writes = aw_count - b_count;
    always @(posedge clk)
        if (reset) begin
            aw_count <= 0; w_count <= 0; b_count <= 0; ar_count <= 0; r_count <= 0; w_beat <= 0; r_beat <= 0;
        end else begin
            if (awvalid && awready) begin
                aw_length[aw_count[7:0]] <= awlen;
                aw_size[aw_count[7:0]] <= awsize;
                aw_low[aw_count[7:0]] <= {1'b0, awaddr[SHIFT-1:0]};
                aw_count <= aw_count + 1;
            end
            if (arvalid && arready) begin
                ar_length[ar_count[7:0]] <= arlen;
                ar_count <= ar_count + 1;
            end
            if (wvalid && wready) begin
                w_beat <= wlast ? 0 : w_beat + 1;
                if (wlast) w_count <= w_count + 1;
            end
            if (rvalid && rready) begin
                r_beat <= rlast ? 0 : r_beat + 1;
                if (rlast) r_count <= r_count + 1;
            end
            if (bvalid && bready) b_count <= b_count + 1;
        end

    // A W beat belongs to the oldest burst without its data, which may be the one that AW offers now.
    wire w_new = w_count == aw_count;
    wire [7:0] w_length = w_new ? awlen : aw_length[w_count[7:0]];
    wire [2:0] w_size = w_new ? awsize : aw_size[w_count[7:0]];
    wire [31:0] w_start = w_new ? 32'(awaddr[SHIFT-1:0]) : 32'(aw_low[w_count[7:0]]);
    wire [31:0] w_first = (w_start >> w_size << w_size) + ({24'd0, w_beat} << w_size);
    wire [31:0] w_low = (w_beat == 0 ? w_start : w_first) & (BYTES - 1);
    wire [31:0] w_end = (w_first & (BYTES - 1)) + (32'd1 << w_size);
    reg [BYTES-1:0] lanes;
    integer i;
    always_comb for (i = 0; i < BYTES; i = i + 1) lanes[i] = i >= w_low && i < w_end;

    function automatic leaves_page(input [11:0] low, input [7:0] length, input [2:0] size);
        reg [31:0] first;
        first = {20'd0, low} >> size << size;
        leaves_page = first + ({24'd0, length} << size) + (32'd1 << size) > 32'd4096;
    endfunction

    reg [1:0] reset_age;
    always @(posedge clk) reset_age <= !reset ? 0 : reset_age == 3 ? 3 : reset_age + 1;

    wire [19:0] broken;
    assign broken[0] = 0;
    assign broken[1] = reset && reset_age == 3 && (awvalid || wvalid || bvalid || arvalid || rvalid);
    assign broken[2] = aw_waits && (!awvalid || aw != aw_was);
    assign broken[3] = w_waits && (!wvalid || w != w_was);
    assign broken[4] = b_waits && (!bvalid || b != b_was);
    assign broken[5] = ar_waits && (!arvalid || ar != ar_was);
    assign broken[6] = r_waits && (!rvalid || r != r_was);
    assign broken[7] = (awvalid && leaves_page(awaddr[11:0], awlen, awsize))
                     || (arvalid && leaves_page(araddr[11:0], arlen, arsize));
    assign broken[8] = (awvalid && awburst != 2'd1) || (arvalid && arburst != 2'd1);
    assign broken[9] = (awvalid && awsize > SHIFT) || (arvalid && arsize > SHIFT);
    assign broken[10] = wvalid && (!w_new || awvalid) && wlast != (w_beat == w_length);
    assign broken[11] = rvalid && reads != 0 && !forgive_last && rlast != (r_beat == ar_length[r_count[7:0]]);
    assign broken[12] = wvalid && w_new && !awvalid && !forgive_ahead;
    assign broken[13] = wvalid && (!w_new || awvalid) && (wstrb & ~lanes) != 0;
    assign broken[14] = bvalid && (b_count == w_count || b_count == aw_count);
    assign broken[15] = rvalid && reads == 0;
    assign broken[16] = reads > READS;
    assign broken[17] = writes > WRITES;
    assign broken[18] = (awvalid && awid) || (arvalid && arid) || (bvalid && bid) || (rvalid && rid);
    assign broken[19] = KIND >= 0 && ((awvalid && awrest != KIND[11:0]) || (arvalid && arrest != KIND[11:0]));

    reg [31:0] cycle;
    integer n;
    always @(posedge clk) begin
        cycle <= reset ? 0 : cycle + 1;
        if (reset && reset_age != 3) begin
            violated <= 0; rule <= 0; since <= 0;
        // In reset nothing but the first rule counts.
        end else if (!violated && (reset ? broken[1] : broken != 0)) begin
            violated <= 1;
            since <= cycle;
            for (n = 19; n > 0; n = n - 1) if (broken[n]) rule <= n[4:0];  // the lowest number wins
        end
    end
endmodule
