// Surroundings of the core in simulation: memories that answer its fetches, and what is checked in every cycle.
// All traffic stays in Verilog, so that whoever drives the clock need not wake before `done`.
//
// Plus arguments: +dir=PATH of the hex files, +jobs=N, +geometry=HEX, +e_beats=N and +f_beats=N (in a row of Q and K, and
// of V), +seed=N, +idle=N (a source pauses in N of 256 beats),
// +stall=N (a sink refuses in N of 256 cycles), +trace (write activity.txt: cycle, cause, value_busy at every change).

module testbench #(
    parameter JOB = 1, parameter BLOCK = 1, parameter BEAT = 1, parameter O = 1, parameter LSE = 1,
    parameter COUNTERS = 1, parameter COUNTER = 48,   // all counters and one of them
    parameter EVENTS = 1,                             // what a cycle adds to them, one bit each, but of
    parameter PAIRS = 0, parameter PAIRS_BITS = 1,    // pairs: their place, as counter and as event
    parameter LENGTH = 21,                            // block: width of a length
    parameter QUERIES = 0, parameter QUERIES_BITS = 1, // block: place of queries
    parameter FRESH = 0, parameter REWIND = 0,        // block: positions of fresh and rewind
    parameter BLOCK_JOB_LAST = 0,                     // block: position of job_last
    parameter GEOMETRY = 1,
    parameter ADDRESS = 18                            // log2 of the beats each memory holds
) (
    input  wire                clk,
    input  wire                rst,
    output wire                done,
    output reg                 violated,
    output wire                saturated,
    output wire                poisoned,
    output reg  [31:0]         rows_out,
    output reg  [COUNTERS-1:0] counters
);
    // Registered, so that no input but the clock enters the logic directly: an evaluation then has less to look at.
    reg reset = 1;
    always @(posedge clk) reset <= rst;

    // A job's word: where its K and V begin (in beats), then what the core gets.
    reg [JOB+63:0] jobs  [0:65535];
    reg [BEAT-1:0] q_mem [0:(1<<ADDRESS)-1];
    reg [BEAT-1:0] k_mem [0:(1<<ADDRESS)-1];
    reg [BEAT-1:0] v_mem [0:(1<<ADDRESS)-1];
    reg [O-1:0]    o_mem [0:(1<<ADDRESS)-1];
    reg [LSE-1:0]  l_mem [0:(1<<ADDRESS)-1];

    string dir;
    integer count, seed, idle, stall, activity, e_beats, f_beats;
    reg [GEOMETRY-1:0] geometry;
    initial begin
        if (!$value$plusargs("dir=%s", dir)) dir = ".";
        if (!$value$plusargs("jobs=%d", count)) count = 1;
        if (!$value$plusargs("geometry=%h", geometry)) geometry = 0;
        if (!$value$plusargs("e_beats=%d", e_beats)) e_beats = 1;
        if (!$value$plusargs("f_beats=%d", f_beats)) f_beats = 1;
        if (!$value$plusargs("seed=%d", seed)) seed = 1;
        if (!$value$plusargs("idle=%d", idle)) idle = 0;
        if (!$value$plusargs("stall=%d", stall)) stall = 0;
        $readmemh({dir, "/jobs.hex"}, jobs);
        $readmemh({dir, "/q.hex"}, q_mem);
        $readmemh({dir, "/k.hex"}, k_mem);
        $readmemh({dir, "/v.hex"}, v_mem);
        activity = 0;
        if ($test$plusargs("trace")) activity = $fopen({dir, "/activity.txt"}, "w");
    end

    // One pseudo-random byte a stream and cycle.
    localparam STREAMS = 7;
    reg [31:0] lfsr [0:STREAMS-1];
    wire [STREAMS-1:0] pause;
    genvar s;
    generate
        for (s = 0; s < STREAMS; s = s + 1) begin : random
            wire [31:0] limit = s < 4 ? idle : stall;
            assign pause[s] = {24'd0, lfsr[s][15:8]} < limit;
            always @(posedge clk)
                if (reset) lfsr[s] <= 32'h9e3779b9 * (seed + s + 1) | 32'd1;
                else     lfsr[s] <= {lfsr[s][30:0], 1'b0} ^ (lfsr[s][31] ? 32'h04c11db7 : 32'd0);
        end
    endgenerate

    // Jobs go in, fetches come out and are kept for the three operand streams.
    wire job_ready, fetch_valid;
    wire [BLOCK-1:0] fetch;
    reg  [15:0] job;
    reg  held_job;
    wire job_valid = job < count[15:0] && (held_job || !pause[0]);
    wire fetch_ready = !pause[4];
    reg  [BLOCK-1:0] blocks [0:4095];
    reg  [15:0] block_head, fetch_job;
    reg  [15:0] block_job [0:4095];
    always @(posedge clk) begin
        if (reset) begin
            job <= 0; held_job <= 0; block_head <= 0; fetch_job <= 0;
        end else begin
            held_job <= job_valid && !job_ready;
            if (job_valid && job_ready) job <= job + 1;
            if (fetch_valid && fetch_ready) begin
                blocks[block_head[11:0]] <= fetch;
                block_job[block_head[11:0]] <= fetch_job;
                block_head <= block_head + 1;
                if (fetch[BLOCK_JOB_LAST]) fetch_job <= fetch_job + 1;
            end
        end
    end

    // Queries are read once, in order; keys and values from where the block before ended, or from the first one on.
    reg  [15:0] block_at [0:2];
    reg  [31:0] beat_at  [0:2];
    reg  [31:0] in_row   [0:2];
    reg  [31:0] done_to   [0:2];
    reg  [2:0]  held;
    reg  [ADDRESS-1:0] q_next;
    wire [2:0]  valid, ready;
    wire [31:0] total [0:2];
    wire [31:0] base  [0:2];
    wire [2:0]  last;
    genvar t;
    generate
        for (t = 0; t < 3; t = t + 1) begin : source
            wire [BLOCK-1:0] now = blocks[block_at[t][11:0]];
            wire [JOB+63:0]  whose = jobs[block_job[block_at[t][11:0]]];
            wire [31:0] queries = {{(32-QUERIES_BITS){1'b0}}, now[QUERIES +: QUERIES_BITS]};
            wire [31:0] fresh   = {{(32-LENGTH){1'b0}}, now[FRESH +: LENGTH]};
            wire [31:0] row     = t == 2 ? f_beats : e_beats;
            wire [31:0] start   = now[REWIND] ? 0 : done_to[t];
            assign total[t] = (t == 0 ? queries : fresh) * row;
            assign base[t]  = (t == 0 ? 0 : t == 1 ? whose[JOB +: 32] : whose[JOB+32 +: 32]) + start;
            assign last[t]  = in_row[t] == row - 1;
            wire present = block_at[t] != block_head && beat_at[t] != total[t];
            assign valid[t] = present && (held[t] || !pause[t + 1]);
            wire moves = valid[t] && ready[t];
            wire [31:0] next = beat_at[t] + {31'd0, moves};
            always @(posedge clk)
                if (reset) begin
                    block_at[t] <= 0; beat_at[t] <= 0; held[t] <= 0; in_row[t] <= 0; done_to[t] <= 0;
                end else begin
                    held[t] <= valid[t] && !ready[t];
                    if (moves) in_row[t] <= last[t] ? 0 : in_row[t] + 1;
                    if (block_at[t] != block_head && next == total[t]) begin
                        block_at[t] <= block_at[t] + 1;
                        beat_at[t] <= 0;
                        done_to[t] <= now[BLOCK_JOB_LAST] ? 0 : start + next;
                    end else beat_at[t] <= next;
                end
        end
    endgenerate
    wire [31:0] k_at = base[1] + beat_at[1];
    wire [31:0] v_at = base[2] + beat_at[2];
    always @(posedge clk)
        if (reset) q_next <= 0;
        else if (valid[0] && ready[0]) q_next <= q_next + 1;

    // Results are kept in order of arrival.
    wire o_valid, lse_valid, busy;
    wire [O-1:0] o;
    wire [LSE-1:0] lse;
    wire o_ready = !pause[5];
    wire lse_ready = !pause[6];
    reg [ADDRESS-1:0] o_next, lse_next;
    reg [15:0] finished;
    reg o_waits, lse_waits;
    reg [O-1:0] o_was;
    reg [LSE-1:0] lse_was;
    always @(posedge clk) begin
        if (reset) begin
            o_next <= 0; lse_next <= 0; finished <= 0; rows_out <= 0; violated <= 0; o_waits <= 0; lse_waits <= 0;
        end else begin
            if (o_valid && o_ready) begin
                o_mem[o_next] <= o;
                o_next <= o_next + 1;
                if (o[O-2]) rows_out <= rows_out + 1;
                if (o[O-1]) finished <= finished + 1;
            end
            if (lse_valid && lse_ready) begin
                l_mem[lse_next] <= lse;
                lse_next <= lse_next + 1;
            end
            // What is offered must stay, unchanged, until it is taken.
            if (o_waits && (!o_valid || o != o_was)) violated <= 1;
            if (lse_waits && (!lse_valid || lse != lse_was)) violated <= 1;
            o_waits <= o_valid && !o_ready;
            lse_waits <= lse_valid && !lse_ready;
            o_was <= o;
            lse_was <= lse;
        end
    end

    assign done = finished == count[15:0] && !busy;
    reg written;
    always @(posedge clk) begin
        if (reset) written <= 0;
        else if (done && !written) begin
            written <= 1;
            if (o_next != 0) $writememh({dir, "/o.hex"}, o_mem, 0, {{(32-ADDRESS){1'b0}}, o_next} - 1);
            if (lse_next != 0) $writememh({dir, "/lse.hex"}, l_mem, 0, {{(32-ADDRESS){1'b0}}, lse_next} - 1);
            if (activity != 0) $fclose(activity);
        end
    end

    wire [3:0] cause;
    wire value_busy;
    reg [4:0] activity_was;
    reg [31:0] cycle;
    always @(posedge clk) begin
        if (reset) begin
            activity_was <= 5'h1f; cycle <= 0;
        end else if (busy) begin
            cycle <= cycle + 1;
            activity_was <= {value_busy, cause};
            if (activity != 0 && activity_was != {value_busy, cause})
                $fdisplay(activity, "%0d %0d %0d", cycle, cause, value_busy);
        end
    end

    // Events come a cycle late, so counters are complete two cycles behind `done`.
    wire [EVENTS-1:0] events;
    genvar c;
    generate
        for (c = 0; c < COUNTERS / COUNTER; c = c + 1) begin : counting
            localparam AT = c <= PAIRS ? c : c + PAIRS_BITS - 1;
            localparam BITS = c == PAIRS ? PAIRS_BITS : 1;
            wire [COUNTER-1:0] step = {{(COUNTER-BITS){1'b0}}, events[AT +: BITS]};
            always @(posedge clk)
                if (reset) counters[c*COUNTER +: COUNTER] <= 0;
                else counters[c*COUNTER +: COUNTER] <= counters[c*COUNTER +: COUNTER] + step;
        end
    endgenerate

    hwgen_core core (
        .clk(clk), .rst(reset), .clear(1'b0), .active(1'b0), .busy(busy), .geometry(geometry),
        .job__payload(jobs[job][JOB-1:0]), .job__valid(job_valid), .job__ready(job_ready),
        .fetch__payload(fetch), .fetch__valid(fetch_valid), .fetch__ready(fetch_ready),
        .q__payload({last[0], q_mem[q_next]}), .q__valid(valid[0]), .q__ready(ready[0]),
        .k__payload({last[1], k_mem[k_at[ADDRESS-1:0]]}), .k__valid(valid[1]), .k__ready(ready[1]),
        .v__payload({last[2], v_mem[v_at[ADDRESS-1:0]]}), .v__valid(valid[2]), .v__ready(ready[2]),
        .o__payload(o), .o__valid(o_valid), .o__ready(o_ready),
        .lse__payload(lse), .lse__valid(lse_valid), .lse__ready(lse_ready),
        .cause(cause), .value_busy(value_busy),
        .events(events), .saturated(saturated), .poisoned(poisoned)
    );
endmodule
