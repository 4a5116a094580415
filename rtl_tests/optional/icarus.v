// The accelerator in Icarus Verilog: a memory, a host that works off a list, and eyes for X. Plain Verilog.
//
// Every value that AXI leaves open is X: payloads while nothing is valid, bytes of memory that nobody placed. So are all
// registers before the first reset if the accelerator comes without initial values.
//
// Files beside: memory.hex (bus words), host.hex (steps of the host, see there), program arguments in parameters;
// written are answers.txt (a line a register read), after.hex, and lines `X ...` on the output where there must be none.

`timescale 1ns/1ns

module icarus_bench;
    parameter ADDRESS = 64, BUS = 128;
    parameter WORDS = 1;            // bus words in memory
    parameter SHIFT = 4;            // log2 of the bytes in one
    parameter [63:0] BASE = 0;      // address of the first
    parameter STEPS = 1;            // of the host
    parameter LATENCY = 20;         // cycles from an address to its data, from data to their answer
    parameter STALL = 0;            // channels pause in so many of 256 cycles
    parameter LIMIT = 200000;       // cycles until the run is given up

    reg clk = 0;
    always #1 clk = !clk;
    integer cycle = 0, seed = 1, wrong = 0;
    always @(posedge clk) cycle <= cycle + 1;

    reg aresetn = 1'bx;
    reg watching = 0;               // behind the first reset
    reg finishing = 0;              // all work is done
    integer pauses = 0;             // one bit a channel: ar, r, aw, w, b, host
    integer c;
    always @(posedge clk)
        for (c = 0; c < 6; c = c + 1) pauses[c] <= ({$random(seed)} % 256) < STALL;

    // The register port. What is not valid is X.
    reg s_awvalid = 0, s_wvalid = 0, s_bready = 0, s_arvalid = 0, s_rready = 0;
    reg [11:0] address;
    reg [31:0] data;
    wire s_awready, s_wready, s_bvalid, s_arready, s_rvalid;
    wire [1:0] s_bresp, s_rresp;
    wire [31:0] s_rdata;

    // The memory port.
    wire m_awvalid, m_awready, m_wlast, m_wvalid, m_wready, m_bready, m_arvalid, m_arready, m_rready;
    wire [ADDRESS-1:0] m_awaddr, m_araddr;
    wire [7:0] m_awlen, m_arlen;
    wire [2:0] m_awsize, m_arsize;
    wire [1:0] m_awburst, m_arburst;
    wire [BUS-1:0] m_wdata;
    wire [BUS/8-1:0] m_wstrb;
    reg m_bvalid = 0, m_rvalid = 0, rlast;
    reg [BUS-1:0] rdata;
    wire interrupt, active, value_busy;
    wire [3:0] cause;
    wire m_awid, m_arid, m_awlock, m_arlock;
    wire [3:0] m_awcache, m_arcache, m_awqos, m_arqos;
    wire [2:0] m_awprot, m_arprot;

    hwgen_accelerator accelerator (
        .aclk(clk), .aresetn(aresetn), .interrupt(interrupt), .cause(cause), .value_busy(value_busy), .active(active),
        .s_axi_awaddr(s_awvalid ? address : 12'bx), .s_axi_awprot(s_awvalid ? 3'd0 : 3'bx),
        .s_axi_awvalid(s_awvalid), .s_axi_awready(s_awready),
        .s_axi_wdata(s_wvalid ? data : 32'bx), .s_axi_wstrb(s_wvalid ? 4'hf : 4'bx),
        .s_axi_wvalid(s_wvalid), .s_axi_wready(s_wready),
        .s_axi_bresp(s_bresp), .s_axi_bvalid(s_bvalid), .s_axi_bready(s_bready),
        .s_axi_araddr(s_arvalid ? address : 12'bx), .s_axi_arprot(s_arvalid ? 3'd0 : 3'bx),
        .s_axi_arvalid(s_arvalid), .s_axi_arready(s_arready),
        .s_axi_rdata(s_rdata), .s_axi_rresp(s_rresp), .s_axi_rvalid(s_rvalid), .s_axi_rready(s_rready),
        .m_axi_awid(m_awid), .m_axi_awaddr(m_awaddr), .m_axi_awlen(m_awlen), .m_axi_awsize(m_awsize),
        .m_axi_awburst(m_awburst), .m_axi_awlock(m_awlock), .m_axi_awcache(m_awcache), .m_axi_awprot(m_awprot),
        .m_axi_awqos(m_awqos), .m_axi_awvalid(m_awvalid), .m_axi_awready(m_awready),
        .m_axi_wdata(m_wdata), .m_axi_wstrb(m_wstrb), .m_axi_wlast(m_wlast), .m_axi_wvalid(m_wvalid),
        .m_axi_wready(m_wready),
        .m_axi_bid(m_bvalid ? 1'b0 : 1'bx), .m_axi_bresp(m_bvalid ? 2'd0 : 2'bx), .m_axi_bvalid(m_bvalid),
        .m_axi_bready(m_bready),
        .m_axi_arid(m_arid), .m_axi_araddr(m_araddr), .m_axi_arlen(m_arlen), .m_axi_arsize(m_arsize),
        .m_axi_arburst(m_arburst), .m_axi_arlock(m_arlock), .m_axi_arcache(m_arcache), .m_axi_arprot(m_arprot),
        .m_axi_arqos(m_arqos), .m_axi_arvalid(m_arvalid), .m_axi_arready(m_arready),
        .m_axi_rid(m_rvalid ? 1'b0 : 1'bx), .m_axi_rdata(m_rvalid ? rdata : {BUS{1'bx}}),
        .m_axi_rresp(m_rvalid ? 2'd0 : 2'bx), .m_axi_rlast(m_rvalid ? rlast : 1'bx), .m_axi_rvalid(m_rvalid),
        .m_axi_rready(m_rready)
    );

    // Eyes. A payload counts while it is valid, of written bytes those with their strobe set.
    task see(input [8*12:1] name, input known);
        if (known !== 1'b1) begin
            $display("X %0s in cycle %0d", name, cycle);
            wrong = wrong + 1;
        end
    endtask
    function known(input [255:0] bits);
        known = (^bits === 1'b0) || (^bits === 1'b1);
    endfunction
    integer b;
    reg [BUS-1:0] written;
    always @(negedge clk) if (watching && aresetn) begin
        see("handshakes", known({s_awready, s_wready, s_bvalid, s_arready, s_rvalid, m_awvalid, m_wvalid, m_bready,
                                 m_arvalid, m_rready}));
        see("state", known({interrupt, active, value_busy, cause}));
        see("attributes", known({m_awsize, m_arsize, m_awburst, m_arburst, m_awid, m_arid, m_awlock, m_arlock, m_awcache,
                                 m_arcache, m_awqos, m_arqos, m_awprot, m_arprot}));
        if (s_bvalid) see("s_b", known(s_bresp));
        if (s_rvalid) see("s_r", known({s_rdata, s_rresp}));
        if (m_awvalid) see("m_aw", known({m_awaddr, m_awlen}));
        if (m_arvalid) see("m_ar", known({m_araddr, m_arlen}));
        if (m_wvalid) begin
            see("m_w", known({m_wstrb, m_wlast}));
            for (b = 0; b < BUS / 8; b = b + 1) written[8*b +: 8] = m_wstrb[b] ? m_wdata[8*b +: 8] : 8'd0;
            see("m_wdata", known(written));
        end
    end

    // The memory: full-width INCR bursts, answered in order, many of them at a time.
    reg [BUS-1:0] words [0:WORDS-1];
    reg [63:0] read_at [0:63], write_at [0:63];
    reg [7:0] read_length [0:63];
    integer read_due [0:63], answer_due [0:63];
    integer read_in, read_out, read_beat, write_in, write_out, write_beat, answer_out;
    assign m_arready = read_in - read_out < 64 && !pauses[0];
    assign m_awready = write_in - answer_out < 64 && !pauses[2];
    assign m_wready = write_in != write_out && !pauses[3];
    wire [63:0] target = write_at[write_out % 64] + write_beat;
    wire [63:0] source = read_at[read_out % 64] + read_beat;
    integer i;
    always @(posedge clk)
        if (!aresetn) begin
            read_in <= 0; read_out <= 0; read_beat <= 0; m_rvalid <= 0;
            write_in <= 0; write_out <= 0; write_beat <= 0; answer_out <= 0; m_bvalid <= 0;
        end else begin
            if (m_arvalid && m_arready) begin
                read_at[read_in % 64] <= (m_araddr - BASE) >> SHIFT;
                read_length[read_in % 64] <= m_arlen;
                read_due[read_in % 64] <= cycle + LATENCY;
                read_in <= read_in + 1;
                if (m_arsize != SHIFT || m_arburst != 1) $display("ERROR a burst of another kind");
            end
            if (!m_rvalid || m_rready) begin
                m_rvalid <= 0;
                if (read_in != read_out && cycle >= read_due[read_out % 64] && !pauses[1]) begin
                    if (source >= WORDS) $display("ERROR a read outside of the memory");
                    m_rvalid <= 1;
                    rdata <= words[source];
                    rlast <= read_beat == read_length[read_out % 64];
                    read_beat <= read_beat == read_length[read_out % 64] ? 0 : read_beat + 1;
                    if (read_beat == read_length[read_out % 64]) read_out <= read_out + 1;
                end
            end
            if (m_awvalid && m_awready) begin
                write_at[write_in % 64] <= (m_awaddr - BASE) >> SHIFT;
                write_in <= write_in + 1;
            end
            if (m_wvalid && m_wready) begin
                if (target >= WORDS) $display("ERROR a write outside of the memory");
                for (i = 0; i < BUS / 8; i = i + 1)
                    if (m_wstrb[i]) words[target][8*i +: 8] <= m_wdata[8*i +: 8];
                write_beat <= m_wlast ? 0 : write_beat + 1;
                if (m_wlast) begin
                    answer_due[write_out % 64] <= cycle + LATENCY;
                    write_out <= write_out + 1;
                end
            end
            if (!m_bvalid || m_bready) begin
                m_bvalid <= answer_out != write_out && cycle >= answer_due[answer_out % 64] && !pauses[4];
                if (answer_out != write_out && cycle >= answer_due[answer_out % 64] && !pauses[4])
                    answer_out <= answer_out + 1;
            end
        end

    // The host. A step is 4 bits of what, 12 of address, 32 of data:
    //   1 write   2 read   3 until the interrupt   4 hold reset for `data` cycles   5 let `data` cycles pass
    reg [47:0] steps [0:STEPS-1];
    integer step, answers;
    task pass(input integer cycles);
        repeat (cycles) @(posedge clk);
    endtask
    task write_register;
        fork
            begin
                while (pauses[5]) @(posedge clk);
                s_awvalid <= 1;
                @(posedge clk);
                while (!s_awready) @(posedge clk);
                s_awvalid <= 0;
            end
            begin
                while (pauses[5]) @(posedge clk);
                s_wvalid <= 1;
                @(posedge clk);
                while (!s_wready) @(posedge clk);
                s_wvalid <= 0;
            end
            begin
                s_bready <= 1;
                @(posedge clk);
                while (!s_bvalid) @(posedge clk);
                s_bready <= 0;
                if (s_bresp != 0) $display("ERROR register %h refuses a write", address);
            end
        join
    endtask
    task read_register;
        fork
            begin
                s_arvalid <= 1;
                @(posedge clk);
                while (!s_arready) @(posedge clk);
                s_arvalid <= 0;
            end
            begin
                s_rready <= 1;
                @(posedge clk);
                while (!s_rvalid) @(posedge clk);
                s_rready <= 0;
                if (s_rresp != 0) $display("ERROR register %h refuses a read", address);
                $fdisplay(answers, "%h", s_rdata);
            end
        join
    endtask
    initial begin
        $readmemh("memory.hex", words);
        $readmemh("host.hex", steps);
        answers = $fopen("answers.txt", "w");
        pass(5);
        for (step = 0; step < STEPS; step = step + 1) begin
            address = steps[step][43:32];
            data = steps[step][31:0];
            case (steps[step][47:44])
                1: write_register;
                2: read_register;
                3: while (!interrupt) @(posedge clk);
                4: begin
                    s_awvalid <= 0; s_wvalid <= 0; s_bready <= 0; s_arvalid <= 0; s_rready <= 0;
                    aresetn <= 0;
                    pass(data);
                    aresetn <= 1;
                    watching <= 1;
                    pass(1);
                end
                5: pass(data);
                default: $display("ERROR an unknown step");
            endcase
        end
        finishing <= 1;
        pass(2);
        $writememh("after.hex", words);
        $display("END %0d cycles, %0d X", cycle, wrong);
        $finish;
    end
    initial begin
        pass(LIMIT);
        $display("ERROR not done after %0d cycles, at step %0d", LIMIT, step);
        $finish;
    end
endmodule
