// Surroundings of the accelerator in simulation: memory behind its AXI4 port, a host before its AXI4-Lite port, a
// protocol checker on both. All traffic stays in Verilog, so that whoever drives the clock wakes only for the host.
//
// The host: set host_write, host_address, host_data, host_strobe, then invert host_go; when host_done has inverted too,
// host_answer and host_response are what came back.
//
// Plus arguments: those of axi_memory, and
//   +lite_stall=N    the host pauses in N of 256 cycles, address before data or data before address
//   +quiet=N         cycles without a move on the memory port after which the run is given up
//   +trace           write activity.txt: cycle, cause, value_busy, active at every change; and events.txt, see below
//   +writes          write writes.txt: of every word written its address and its strobes, in hexadecimal

module system #(
    parameter ADDRESS = 64, parameter BUS = 128,
    parameter WORDS = 16,                              // log2 of the bus words in memory
    parameter OUTSTANDING = 16                         // bursts in flight, each for reads and writes
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        host_go,
    input  wire        host_write,
    input  wire [11:0] host_address,
    input  wire [31:0] host_data,
    input  wire [3:0]  host_strobe,
    output reg         host_done,
    output reg  [31:0] host_answer,
    output reg  [1:0]  host_response,
    input  wire        dump,
    output wire        interrupt,
    output reg  [31:0] cycle,                          // since reset
    output wire        trouble,                        // a rule was broken, or nothing moves on either port
    output wire [1:0]  violated,                       // memory port, register port
    output wire [4:0]  memory_rule,
    output wire [31:0] memory_since,
    output wire [4:0]  lite_rule,
    output wire [31:0] lite_since,
    output wire [8:0]  open_reads,                     // bursts in flight
    output wire [8:0]  open_writes,
    output wire [31:0] read_bursts,
    output wire [31:0] read_beats,
    output wire [31:0] write_bursts,
    output wire [31:0] write_beats
);
    // Registered, so that no input but the clock enters the logic directly: an evaluation then has less to look at.
    reg reset = 1;
    reg finish = 0;
    always @(posedge clk) begin
        reset <= rst;
        finish <= dump;
        cycle <= reset ? 0 : cycle + 1;
    end

    // The host: one transaction at a time.
    reg go, write_now;
    reg [11:0] address;
    reg [31:0] data;
    reg [3:0] strobe;
    always @(posedge clk) begin
        go <= host_go; write_now <= host_write; address <= host_address; data <= host_data; strobe <= host_strobe;
    end
    integer lite_stall, seed;
    initial begin
        if (!$value$plusargs("lite_stall=%d", lite_stall)) lite_stall = 0;
        if (!$value$plusargs("seed=%d", seed)) seed = 0;
    end
    reg [31:0] random;
    wire [2:0] pause;
    genvar p;
    generate
        for (p = 0; p < 3; p = p + 1) begin : pauses
            assign pause[p] = {24'd0, random[8*p+8 +: 8]} < lite_stall;
        end
    endgenerate
    reg went, addressed, sent;                         // the request seen last; of it the address and the data are out
    wire pending = go != went;
    reg s_awvalid, s_wvalid, s_bready, s_arvalid, s_rready;
    wire s_awready, s_wready, s_bvalid, s_arready, s_rvalid;
    wire [1:0] s_bresp, s_rresp;
    wire [31:0] s_rdata;
    always @(posedge clk) begin
        random <= reset ? 32'h9e3779b9 * (seed + 77) : random * 32'd1664525 + 32'd1013904223;
        if (reset) begin
            went <= go; addressed <= 0; sent <= 0; host_done <= go;
            s_awvalid <= 0; s_wvalid <= 0; s_bready <= 0; s_arvalid <= 0; s_rready <= 0;
        end else begin
            if (s_awvalid && s_awready) s_awvalid <= 0;
            if (s_wvalid && s_wready) s_wvalid <= 0;
            if (s_arvalid && s_arready) s_arvalid <= 0;
            if (pending && !addressed && !pause[0]) begin
                addressed <= 1;
                s_awvalid <= write_now;
                s_arvalid <= !write_now;
            end
            if (pending && !sent && !pause[1]) begin
                sent <= 1;
                s_wvalid <= write_now;
            end
            s_bready <= pending && !pause[2];
            s_rready <= pending && !pause[2];
            if ((s_bvalid && s_bready) || (s_rvalid && s_rready)) begin
                went <= go; addressed <= 0; sent <= 0; host_done <= go;
                s_bready <= 0;
                s_rready <= 0;
                host_answer <= s_rdata;
                host_response <= s_bvalid ? s_bresp : s_rresp;
            end
        end
    end

    wire m_awid, m_awlock, m_awvalid, m_awready, m_wlast, m_wvalid, m_wready, m_bvalid, m_bready;
    wire m_arid, m_arlock, m_arvalid, m_arready, m_rlast, m_rvalid, m_rready;
    wire [ADDRESS-1:0] m_awaddr, m_araddr;
    wire [7:0] m_awlen, m_arlen;
    wire [2:0] m_awsize, m_awprot, m_arsize, m_arprot;
    wire [1:0] m_awburst, m_bresp, m_arburst, m_rresp;
    wire [3:0] m_awcache, m_awqos, m_arcache, m_arqos;
    wire [BUS-1:0] m_wdata, m_rdata;
    wire [BUS/8-1:0] m_wstrb;
    wire wrong_last, value_busy, active;
    wire [3:0] cause;

    // What stands beside a valid that is not set is wrong in every bit: nobody may look at it.
    wire [11:0] s_awaddr = s_awvalid ? address : ~address;
    wire [11:0] s_araddr = s_arvalid ? address : ~address;
    wire [31:0] s_wdata = s_wvalid ? data : ~data;
    wire [3:0] s_wstrb = s_wvalid ? strobe : ~strobe;
    wire [BUS-1:0] seen_rdata = m_rvalid ? m_rdata : ~m_rdata;
    wire [1:0] seen_rresp = m_rvalid ? m_rresp : ~m_rresp;
    wire seen_rlast = m_rvalid ? m_rlast : !m_rlast;
    wire [1:0] seen_bresp = m_bvalid ? m_bresp : ~m_bresp;

    hwgen_accelerator accelerator (
        .aclk(clk), .aresetn(!reset), .interrupt(interrupt), .cause(cause), .value_busy(value_busy), .active(active),
        .s_axi_awaddr(s_awaddr), .s_axi_awprot(3'd0), .s_axi_awvalid(s_awvalid), .s_axi_awready(s_awready),
        .s_axi_wdata(s_wdata), .s_axi_wstrb(s_wstrb), .s_axi_wvalid(s_wvalid), .s_axi_wready(s_wready),
        .s_axi_bresp(s_bresp), .s_axi_bvalid(s_bvalid), .s_axi_bready(s_bready),
        .s_axi_araddr(s_araddr), .s_axi_arprot(3'd0), .s_axi_arvalid(s_arvalid), .s_axi_arready(s_arready),
        .s_axi_rdata(s_rdata), .s_axi_rresp(s_rresp), .s_axi_rvalid(s_rvalid), .s_axi_rready(s_rready),
        .m_axi_awid(m_awid), .m_axi_awaddr(m_awaddr), .m_axi_awlen(m_awlen), .m_axi_awsize(m_awsize),
        .m_axi_awburst(m_awburst), .m_axi_awlock(m_awlock), .m_axi_awcache(m_awcache), .m_axi_awprot(m_awprot),
        .m_axi_awqos(m_awqos), .m_axi_awvalid(m_awvalid), .m_axi_awready(m_awready),
        .m_axi_wdata(m_wdata), .m_axi_wstrb(m_wstrb), .m_axi_wlast(m_wlast), .m_axi_wvalid(m_wvalid),
        .m_axi_wready(m_wready),
        .m_axi_bid(1'b0), .m_axi_bresp(seen_bresp), .m_axi_bvalid(m_bvalid), .m_axi_bready(m_bready),
        .m_axi_arid(m_arid), .m_axi_araddr(m_araddr), .m_axi_arlen(m_arlen), .m_axi_arsize(m_arsize),
        .m_axi_arburst(m_arburst), .m_axi_arlock(m_arlock), .m_axi_arcache(m_arcache), .m_axi_arprot(m_arprot),
        .m_axi_arqos(m_arqos), .m_axi_arvalid(m_arvalid), .m_axi_arready(m_arready),
        .m_axi_rid(1'b0), .m_axi_rdata(seen_rdata), .m_axi_rresp(seen_rresp), .m_axi_rlast(seen_rlast),
        .m_axi_rvalid(m_rvalid), .m_axi_rready(m_rready)
    );

    axi_memory #(.ADDRESS(ADDRESS), .BUS(BUS), .WORDS(WORDS)) memory (
        .clk(clk), .reset(reset), .dump(finish),
        .awaddr(m_awaddr), .awlen(m_awlen), .awsize(m_awsize), .awburst(m_awburst), .awvalid(m_awvalid),
        .awready(m_awready),
        .wdata(m_wdata), .wstrb(m_wstrb), .wlast(m_wlast), .wvalid(m_wvalid), .wready(m_wready),
        .bresp(m_bresp), .bvalid(m_bvalid), .bready(m_bready),
        .araddr(m_araddr), .arlen(m_arlen), .arsize(m_arsize), .arburst(m_arburst), .arvalid(m_arvalid),
        .arready(m_arready),
        .rdata(m_rdata), .rresp(m_rresp), .rlast(m_rlast), .rvalid(m_rvalid), .rready(m_rready),
        .read_bursts(read_bursts), .read_beats(read_beats), .write_bursts(write_bursts), .write_beats(write_beats),
        .wrong_last(wrong_last)
    );

    // Normal, non-cacheable, bufferable; no lock, privilege or quality of service.
    localparam KIND = 12'b0_0011_000_0000;
    axi_checker #(
        .ADDRESS(ADDRESS), .BUS(BUS), .READS(OUTSTANDING), .WRITES(OUTSTANDING), .KIND(KIND)
    ) memory_checker (
        .clk(clk), .reset(reset), .forgive_last(wrong_last), .forgive_ahead(1'b0),
        .awid(m_awid), .awaddr(m_awaddr), .awlen(m_awlen), .awsize(m_awsize), .awburst(m_awburst),
        .awrest({m_awlock, m_awcache, m_awprot, m_awqos}), .awvalid(m_awvalid), .awready(m_awready),
        .wdata(m_wdata), .wstrb(m_wstrb), .wlast(m_wlast), .wvalid(m_wvalid), .wready(m_wready),
        .bid(1'b0), .bresp(m_bresp), .bvalid(m_bvalid), .bready(m_bready),
        .arid(m_arid), .araddr(m_araddr), .arlen(m_arlen), .arsize(m_arsize), .arburst(m_arburst),
        .arrest({m_arlock, m_arcache, m_arprot, m_arqos}), .arvalid(m_arvalid), .arready(m_arready),
        .rid(1'b0), .rdata(m_rdata), .rresp(m_rresp), .rlast(m_rlast), .rvalid(m_rvalid), .rready(m_rready),
        .violated(violated[0]), .rule(memory_rule), .since(memory_since), .reads(open_reads), .writes(open_writes)
    );

    wire [8:0] lite_reads, lite_writes;
    axi_checker #(.ADDRESS(12), .BUS(32)) lite_checker (
        .clk(clk), .reset(reset), .forgive_last(1'b0), .forgive_ahead(1'b1),
        .awid(1'b0), .awaddr(address), .awlen(8'd0), .awsize(3'd2), .awburst(2'd1), .awrest(12'd0),
        .awvalid(s_awvalid), .awready(s_awready),
        .wdata(data), .wstrb(strobe), .wlast(1'b1), .wvalid(s_wvalid), .wready(s_wready),
        .bid(1'b0), .bresp(s_bresp), .bvalid(s_bvalid), .bready(s_bready),
        .arid(1'b0), .araddr(address), .arlen(8'd0), .arsize(3'd2), .arburst(2'd1), .arrest(12'd0),
        .arvalid(s_arvalid), .arready(s_arready),
        .rid(1'b0), .rdata(s_rdata), .rresp(s_rresp), .rlast(1'b1), .rvalid(s_rvalid), .rready(s_rready),
        .violated(violated[1]), .rule(lite_rule), .since(lite_since), .reads(lite_reads), .writes(lite_writes)
    );

    integer quiet;
    reg [31:0] still;
    initial if (!$value$plusargs("quiet=%d", quiet)) quiet = 1000000;
    wire moves = (m_awvalid && m_awready) || (m_wvalid && m_wready) || (m_bvalid && m_bready) || (m_arvalid && m_arready)
               || (m_rvalid && m_rready);
    always @(posedge clk) still <= reset || moves || pending ? 0 : still + 1;
    assign trouble = violated != 0 || still > quiet;

    string dir;
    integer activity, events;
    reg [63:0] base;
    initial begin
        if (!$value$plusargs("base=%h", base)) base = 0;
        activity = 0;
        events = 0;
        if (!$value$plusargs("dir=%s", dir)) dir = ".";
        if ($test$plusargs("trace")) begin
            activity = $fopen({dir, "/activity.txt"}, "w");
            events = $fopen({dir, "/events.txt"}, "w");
        end
    end
    reg [5:0] activity_was;
    always @(posedge clk)
        if (reset) activity_was <= 6'h3f;
        else if (activity != 0) begin
            activity_was <= {active, value_busy, cause};
            if (activity_was != {active, value_busy, cause})
                $fdisplay(activity, "%0d %0d %0d %0d", cycle, cause, value_busy, active);
            if (finish) $fflush(activity);
        end

    // A line an event: its name, the cycle, numbers.
    //   ar aw            an address is taken: bytes from the memory's first on, beats
    //   b                a write burst is answered
    //   host             the host has written a register: address, data
    //   interrupt        its new level
    //   job job_end      the core takes a job; its last beat of O leaves
    //   loaded issued    a block's queries are loaded; all its visits are issued
    // and a line a stretch of cycles: its name, the first cycle, their number
    //   r w              beats of one burst move
    //   read_wait        a burst is in flight and no word of it comes
    //   write_wait       a write address or word is offered and not taken
    //   q o              beats of Q go into the score array's registers, beats of O come out of the core
    reg interrupt_was;
    always @(posedge clk)
        if (reset) interrupt_was <= 0;
        else if (events != 0) begin
            interrupt_was <= interrupt;
            if (m_arvalid && m_arready) $fdisplay(events, "ar %0d %0d %0d", cycle, 64'(m_araddr) - base, m_arlen + 9'd1);
            if (m_awvalid && m_awready) $fdisplay(events, "aw %0d %0d %0d", cycle, 64'(m_awaddr) - base, m_awlen + 9'd1);
            if (m_bvalid && m_bready) $fdisplay(events, "b %0d", cycle);
            if (s_bvalid && s_bready) $fdisplay(events, "host %0d %0d %0d", cycle, address, data);
            if (interrupt != interrupt_was) $fdisplay(events, "interrupt %0d %0d", cycle, interrupt);
            if (accelerator.core.run_state.accepted) $fdisplay(events, "job %0d", cycle);
            if (accelerator.core.run_state.finished) $fdisplay(events, "job_end %0d", cycle);
            if (query_loaded) $fdisplay(events, "loaded %0d", cycle);
            if (accelerator.core.run_state.issued) $fdisplay(events, "issued %0d", cycle);
            if (finish) $fflush(events);
        end

    // Words belong to addresses in order; an address may come in the cycle of its first word, never later.
    integer writes;
    initial begin
        writes = 0;
        if ($test$plusargs("writes")) writes = $fopen({dir, "/writes.txt"}, "w");
    end
    reg [63:0] write_first [0:255];
    reg [7:0] write_in, write_out, write_beat;
    wire [63:0] write_address = write_in == write_out ? 64'(m_awaddr) : write_first[write_out];
    always @(posedge clk)
        if (reset) begin
            write_in <= 0; write_out <= 0; write_beat <= 0;
        end else begin
            if (m_awvalid && m_awready) begin
                write_first[write_in] <= 64'(m_awaddr);
                write_in <= write_in + 1;
            end
            if (m_wvalid && m_wready) begin
                write_beat <= m_wlast ? 0 : write_beat + 1;
                if (m_wlast) write_out <= write_out + 1;
                if (writes != 0) $fdisplay(writes, "%h %h", write_address + 64'(write_beat) * (BUS / 8), m_wstrb);
            end
            if (writes != 0 && finish) $fflush(writes);
        end

    wire query_loaded = accelerator.core.query_loader.block__valid && accelerator.core.query_loader.block__ready;
    wire q_moves = accelerator.core.query_loader.query__valid && accelerator.core.query_loader.query__ready;
    wire o_moves = accelerator.core.o__valid && accelerator.core.o__ready;
    wire write_waits = (m_awvalid && !m_awready) || (m_wvalid && !m_wready);
    stretch_log #("r") read_log (.*, .file(events), .moves(m_rvalid && m_rready), .ends(m_rlast));
    stretch_log #("w") write_log (.*, .file(events), .moves(m_wvalid && m_wready), .ends(m_wlast));
    stretch_log #("read_wait") read_wait_log (.*, .file(events), .moves(accelerator.read_engine.waiting), .ends(1'b0));
    stretch_log #("write_wait") write_wait_log (.*, .file(events), .moves(write_waits), .ends(1'b0));
    stretch_log #("q") query_log (.*, .file(events), .moves(q_moves), .ends(query_loaded));
    stretch_log #("o") result_log (.*, .file(events), .moves(o_moves), .ends(accelerator.core.run_state.finished));
endmodule
