// An AXI4 memory of 2^WORDS bus words for simulation, at addresses `base` onwards. Reads and writes are pipelined: many
// bursts are in flight, their data follow each other without a gap, responses come in order of the addresses.
//
// Only full-width INCR bursts: others are answered with SLVERR, addresses outside with DECERR.
//
// Plus arguments (numbers are decimal, 0 if not given):
//   +dir=PATH          of memory.hex ($readmemh, read at the start) and after.hex (+used=N words, written at `dump`)
//   +base=HEX          address of the first word, a multiple of 4096
//   +latency=N         cycles from AR to its first data and from the last W to B, at least 2
//   +bandwidth=N       R and W move in at most N of 256 cycles each (256 if not given)
//   +seed=N            of all random pauses
//   +stall_aw=N +stall_w=N +stall_b=N +stall_ar=N +stall_r=N   a ready memory pauses in N of 256 cycles
//   +aw_waits=1        AWREADY waits for WVALID, which AXI allows
// Faults, counted from 1 after each reset:
//   +read_fault_beat=N    that read beat has a bad response
//   +read_fault_burst=N   all beats of that burst have one
//   +write_fault_burst=N  the answer to that burst is bad
//   +response=N           the bad response: 2 SLVERR (if not given), 3 DECERR
//   +early_last=N         the first burst of more than one beat from that one on ends a beat early
//   +late_last=N          that burst ends a beat late

module axi_memory #(
    parameter ADDRESS = 64,         // address bits
    parameter BUS = 128,            // data bits
    parameter WORDS = 16            // log2 of the words it holds
) (
    input  wire               clk,
    input  wire               reset,
    input  wire               dump,
    input  wire [ADDRESS-1:0] awaddr,
    input  wire [7:0]         awlen,
    input  wire [2:0]         awsize,
    input  wire [1:0]         awburst,
    input  wire               awvalid,
    output wire               awready,
    input  wire [BUS-1:0]     wdata,
    input  wire [BUS/8-1:0]   wstrb,
    input  wire               wlast,
    input  wire               wvalid,
    output wire               wready,
    output reg  [1:0]         bresp,
    output reg                bvalid,
    input  wire               bready,
    input  wire [ADDRESS-1:0] araddr,
    input  wire [7:0]         arlen,
    input  wire [2:0]         arsize,
    input  wire [1:0]         arburst,
    input  wire               arvalid,
    output wire               arready,
    output reg  [BUS-1:0]     rdata,
    output reg  [1:0]         rresp,
    output reg                rlast,
    output reg                rvalid,
    input  wire               rready,
    output reg  [31:0]        read_bursts,     // taken since reset; beats moved since reset
    output reg  [31:0]        read_beats,
    output reg  [31:0]        write_bursts,
    output reg  [31:0]        write_beats,
    output reg                wrong_last       // an RLAST was misplaced on purpose
);
    localparam SHIFT = $clog2(BUS / 8);
    localparam INCR = 2'd1, OKAY = 2'd0, SLVERR = 2'd2, DECERR = 2'd3;
    localparam QUEUE = 7;                      // log2 of the bursts in flight

    reg [BUS-1:0] words [0:(1<<WORDS)-1];

    string dir;
    reg [63:0] base;
    integer used, latency, bandwidth, seed, aw_waits;
    integer read_fault_beat, read_fault_burst, write_fault_burst, response, early_last, late_last;
    integer stall [0:4];
    initial begin
        if (!$value$plusargs("dir=%s", dir)) dir = ".";
        if (!$value$plusargs("base=%h", base)) base = 0;
        if (!$value$plusargs("used=%d", used)) used = 1 << WORDS;
        if (!$value$plusargs("latency=%d", latency)) latency = 0;
        if (!$value$plusargs("bandwidth=%d", bandwidth)) bandwidth = 256;
        if (!$value$plusargs("seed=%d", seed)) seed = 0;
        if (!$value$plusargs("stall_aw=%d", stall[0])) stall[0] = 0;
        if (!$value$plusargs("stall_w=%d", stall[1])) stall[1] = 0;
        if (!$value$plusargs("stall_b=%d", stall[2])) stall[2] = 0;
        if (!$value$plusargs("stall_ar=%d", stall[3])) stall[3] = 0;
        if (!$value$plusargs("stall_r=%d", stall[4])) stall[4] = 0;
        if (!$value$plusargs("aw_waits=%d", aw_waits)) aw_waits = 0;
        if (!$value$plusargs("read_fault_beat=%d", read_fault_beat)) read_fault_beat = 0;
        if (!$value$plusargs("read_fault_burst=%d", read_fault_burst)) read_fault_burst = 0;
        if (!$value$plusargs("write_fault_burst=%d", write_fault_burst)) write_fault_burst = 0;
        if (!$value$plusargs("response=%d", response)) response = 2;
        if (!$value$plusargs("early_last=%d", early_last)) early_last = 0;
        if (!$value$plusargs("late_last=%d", late_last)) late_last = 0;
        if (latency < 2) latency = 2;
        $readmemh({dir, "/memory.hex"}, words);
    end

    reg dumped = 0;
    always @(posedge clk) begin
        dumped <= dump;
        if (dump && !dumped) $writememh({dir, "/after.hex"}, words, 0, used - 1);
    end

    // One pseudo-random byte a channel and cycle.
    reg [31:0] random [0:4];
    wire [4:0] pause;
    genvar c;
    generate
        for (c = 0; c < 5; c = c + 1) begin : channel
            assign pause[c] = {24'd0, random[c][31:24]} < stall[c];
            always @(posedge clk)
                if (reset) random[c] <= 32'h9e3779b9 * (seed * 5 + c + 1);
                else       random[c] <= random[c] * 32'd1664525 + 32'd1013904223;
        end
    endgenerate

    // A data channel earns `bandwidth` 256ths of a beat a cycle.
    reg [9:0] read_credit, write_credit;
    wire read_granted  = read_credit  >= 10'd256;
    wire write_granted = write_credit >= 10'd256;
    function automatic [9:0] credit_after(input [9:0] credit, input moves);
        reg [9:0] sum;
        sum = credit - (moves ? 10'd256 : 10'd0) + bandwidth[9:0];
        credit_after = sum > 10'd511 ? 10'd511 : sum;
    endfunction

    function automatic [1:0] answer(input [63:0] address, input [2:0] size, input [1:0] burst, input faulty);
        if (address < base || (address - base) >> (WORDS + SHIFT) != 0) answer = DECERR;
        else if (size != SHIFT || burst != INCR) answer = SLVERR;
        else answer = faulty ? response[1:0] : OKAY;
    endfunction

    function automatic [WORDS-1:0] word_of(input [63:0] address);
        reg [63:0] offset;
        offset = address - base;
        word_of = offset[SHIFT +: WORDS];
    endfunction

    reg [31:0] now;
    always @(posedge clk) now <= reset ? 0 : now + 1;
    wire [31:0] due = now + latency - 1;

    // Reads: accepted bursts wait until they are due; beats are fetched into the output register.
    reg [WORDS-1:0] read_word     [0:(1<<QUEUE)-1];
    reg [7:0]       read_length   [0:(1<<QUEUE)-1];
    reg [1:0]       read_response [0:(1<<QUEUE)-1];
    reg [31:0]      read_due      [0:(1<<QUEUE)-1];
    reg [QUEUE:0] read_in, read_out;
    reg [7:0] read_beat;
    reg [31:0] fetched;
    wire [QUEUE-1:0] reading = read_out[QUEUE-1:0];
    wire read_full = read_in - read_out == 1 << QUEUE;
    wire read_moves = read_in != read_out && now >= read_due[reading] && (!rvalid || rready) && read_granted && !pause[4];
    wire read_ends = read_beat == read_length[reading];
    wire ends_early = early_last != 0 && read_bursts + 1 >= early_last && arlen != 0 && !wrong_last;
    wire ends_late = late_last != 0 && read_bursts + 1 == late_last && arlen != 8'd255;
    assign arready = !read_full && !pause[3];
    always @(posedge clk)
        if (reset) begin
            read_in <= 0; read_out <= 0; read_beat <= 0; rvalid <= 0; read_bursts <= 0; read_beats <= 0; fetched <= 0;
            read_credit <= 10'd256; wrong_last <= 0;
        end else begin
            read_credit <= credit_after(read_credit, read_moves);
            if (arvalid && arready) begin
                read_word[read_in[QUEUE-1:0]] <= word_of(64'(araddr));
                read_length[read_in[QUEUE-1:0]] <= arlen - {7'd0, ends_early} + {7'd0, ends_late};
                read_response[read_in[QUEUE-1:0]] <=
                    answer(64'(araddr), arsize, arburst, read_fault_burst != 0 && read_bursts + 1 == read_fault_burst);
                read_due[read_in[QUEUE-1:0]] <= due;
                read_in <= read_in + 1;
                read_bursts <= read_bursts + 1;
                if (ends_early || ends_late) wrong_last <= 1;
            end
            if (read_moves) begin
                rdata <= words[read_word[reading] + {{(WORDS > 8 ? WORDS - 8 : 1){1'b0}}, read_beat}];
                rresp <= read_fault_beat != 0 && fetched + 1 == read_fault_beat ? response[1:0] : read_response[reading];
                rlast <= read_ends;
                rvalid <= 1;
                fetched <= fetched + 1;
                read_beat <= read_ends ? 0 : read_beat + 1;
                if (read_ends) read_out <= read_out + 1;
            end else if (rready) rvalid <= 0;
            if (rvalid && rready) read_beats <= read_beats + 1;
        end

    // Writes: beats belong to the oldest accepted address that lacks data and are written at once.
    reg [WORDS-1:0] write_word     [0:(1<<QUEUE)-1];
    reg [1:0]       write_response [0:(1<<QUEUE)-1];
    reg [31:0]      write_due      [0:(1<<QUEUE)-1];
    reg [QUEUE:0] write_in, write_at, write_out;
    reg [7:0] write_beat;
    wire [QUEUE-1:0] writing = write_at[QUEUE-1:0];
    wire [QUEUE-1:0] answering = write_out[QUEUE-1:0];
    wire write_full = write_in - write_out == 1 << QUEUE;
    wire write_moves = wvalid && wready;
    wire [WORDS-1:0] target = write_word[writing] + {{(WORDS > 8 ? WORDS - 8 : 1){1'b0}}, write_beat};
    reg [BUS-1:0] mask;
    integer i;
    always_comb for (i = 0; i < BUS / 8; i = i + 1) mask[8*i +: 8] = {8{wstrb[i]}};
    assign awready = !write_full && !pause[0] && (aw_waits == 0 || wvalid);
    assign wready = write_in != write_at && write_granted && !pause[1];
    always @(posedge clk)
        if (reset) begin
            write_in <= 0; write_at <= 0; write_out <= 0; write_beat <= 0; bvalid <= 0; write_bursts <= 0;
            write_beats <= 0; write_credit <= 10'd256;
        end else begin
            write_credit <= credit_after(write_credit, write_moves);
            if (awvalid && awready) begin
                write_word[write_in[QUEUE-1:0]] <= word_of(64'(awaddr));
                write_response[write_in[QUEUE-1:0]] <=
                    answer(64'(awaddr), awsize, awburst, write_fault_burst != 0 && write_bursts + 1 == write_fault_burst);
                write_in <= write_in + 1;
                write_bursts <= write_bursts + 1;
            end
            if (write_moves) begin
                // What is refused is not written.
                if (write_response[writing] == OKAY) words[target] <= (words[target] & ~mask) | (wdata & mask);
                write_due[writing] <= due;
                write_beat <= wlast ? 0 : write_beat + 1;
                write_beats <= write_beats + 1;
                if (wlast) write_at <= write_at + 1;
            end
            if (write_out != write_at && now >= write_due[answering] && (!bvalid || bready) && !pause[2]) begin
                bresp <= write_response[answering];
                bvalid <= 1;
                write_out <= write_out + 1;
            end else if (bready) bvalid <= 0;
        end
endmodule
