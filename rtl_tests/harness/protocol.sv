// The accelerator with its own port names, for a bus master and a memory outside of Verilog, and a protocol checker on
// both its buses.

module protocol #(
    parameter ADDRESS = 64, parameter BUS = 128,
    parameter OUTSTANDING = 16,                        // bursts in flight, each for reads and writes
    parameter QUIET = 20000                            // cycles without a move on either port that are trouble
) (
    input  wire               aclk,
    input  wire               aresetn,
    output wire               interrupt,

    input  wire [11:0]        s_axi_awaddr,
    input  wire [2:0]         s_axi_awprot,
    input  wire               s_axi_awvalid,
    output wire               s_axi_awready,
    input  wire [31:0]        s_axi_wdata,
    input  wire [3:0]         s_axi_wstrb,
    input  wire               s_axi_wvalid,
    output wire               s_axi_wready,
    output wire [1:0]         s_axi_bresp,
    output wire               s_axi_bvalid,
    input  wire               s_axi_bready,
    input  wire [11:0]        s_axi_araddr,
    input  wire [2:0]         s_axi_arprot,
    input  wire               s_axi_arvalid,
    output wire               s_axi_arready,
    output wire [31:0]        s_axi_rdata,
    output wire [1:0]         s_axi_rresp,
    output wire               s_axi_rvalid,
    input  wire               s_axi_rready,

    output wire               m_axi_awid,
    output wire [ADDRESS-1:0] m_axi_awaddr,
    output wire [7:0]         m_axi_awlen,
    output wire [2:0]         m_axi_awsize,
    output wire [1:0]         m_axi_awburst,
    output wire               m_axi_awlock,
    output wire [3:0]         m_axi_awcache,
    output wire [2:0]         m_axi_awprot,
    output wire [3:0]         m_axi_awqos,
    output wire               m_axi_awvalid,
    input  wire               m_axi_awready,
    output wire [BUS-1:0]     m_axi_wdata,
    output wire [BUS/8-1:0]   m_axi_wstrb,
    output wire               m_axi_wlast,
    output wire               m_axi_wvalid,
    input  wire               m_axi_wready,
    input  wire               m_axi_bid,
    input  wire [1:0]         m_axi_bresp,
    input  wire               m_axi_bvalid,
    output wire               m_axi_bready,
    output wire               m_axi_arid,
    output wire [ADDRESS-1:0] m_axi_araddr,
    output wire [7:0]         m_axi_arlen,
    output wire [2:0]         m_axi_arsize,
    output wire [1:0]         m_axi_arburst,
    output wire               m_axi_arlock,
    output wire [3:0]         m_axi_arcache,
    output wire [2:0]         m_axi_arprot,
    output wire [3:0]         m_axi_arqos,
    output wire               m_axi_arvalid,
    input  wire               m_axi_arready,
    input  wire               m_axi_rid,
    input  wire [BUS-1:0]     m_axi_rdata,
    input  wire [1:0]         m_axi_rresp,
    input  wire               m_axi_rlast,
    input  wire               m_axi_rvalid,
    output wire               m_axi_rready,

    output reg  [31:0]        cycle,                   // since reset
    output wire               trouble,                 // a rule was broken, or nothing moves on either port
    output wire [1:0]         violated,                // memory port, register port
    output wire [4:0]         memory_rule,
    output wire [31:0]        memory_since,
    output wire [4:0]         lite_rule,
    output wire [31:0]        lite_since,
    output wire [8:0]         open_reads,              // bursts in flight
    output wire [8:0]         open_writes
);
    wire value_busy, active;
    wire [3:0] cause;
    hwgen_accelerator accelerator (.*);

    wire reset = !aresetn;
    // Normal, non-cacheable, bufferable; no lock, privilege or quality of service.
    localparam KIND = 12'b0_0011_000_0000;
    axi_checker #(
        .ADDRESS(ADDRESS), .BUS(BUS), .READS(OUTSTANDING), .WRITES(OUTSTANDING), .KIND(KIND)
    ) memory_checker (
        .clk(aclk), .reset(reset), .forgive_last(1'b0), .forgive_ahead(1'b0),
        .awid(m_axi_awid), .awaddr(m_axi_awaddr), .awlen(m_axi_awlen), .awsize(m_axi_awsize), .awburst(m_axi_awburst),
        .awrest({m_axi_awlock, m_axi_awcache, m_axi_awprot, m_axi_awqos}),
        .awvalid(m_axi_awvalid), .awready(m_axi_awready),
        .wdata(m_axi_wdata), .wstrb(m_axi_wstrb), .wlast(m_axi_wlast), .wvalid(m_axi_wvalid), .wready(m_axi_wready),
        .bid(m_axi_bid), .bresp(m_axi_bresp), .bvalid(m_axi_bvalid), .bready(m_axi_bready),
        .arid(m_axi_arid), .araddr(m_axi_araddr), .arlen(m_axi_arlen), .arsize(m_axi_arsize), .arburst(m_axi_arburst),
        .arrest({m_axi_arlock, m_axi_arcache, m_axi_arprot, m_axi_arqos}),
        .arvalid(m_axi_arvalid), .arready(m_axi_arready),
        .rid(m_axi_rid), .rdata(m_axi_rdata), .rresp(m_axi_rresp), .rlast(m_axi_rlast),
        .rvalid(m_axi_rvalid), .rready(m_axi_rready),
        .violated(violated[0]), .rule(memory_rule), .since(memory_since), .reads(open_reads), .writes(open_writes)
    );

    wire [8:0] lite_reads, lite_writes;
    axi_checker #(.ADDRESS(12), .BUS(32)) lite_checker (
        .clk(aclk), .reset(reset), .forgive_last(1'b0), .forgive_ahead(1'b1),
        .awid(1'b0), .awaddr(s_axi_awaddr), .awlen(8'd0), .awsize(3'd2), .awburst(2'd1), .awrest({9'd0, s_axi_awprot}),
        .awvalid(s_axi_awvalid), .awready(s_axi_awready),
        .wdata(s_axi_wdata), .wstrb(s_axi_wstrb), .wlast(1'b1), .wvalid(s_axi_wvalid), .wready(s_axi_wready),
        .bid(1'b0), .bresp(s_axi_bresp), .bvalid(s_axi_bvalid), .bready(s_axi_bready),
        .arid(1'b0), .araddr(s_axi_araddr), .arlen(8'd0), .arsize(3'd2), .arburst(2'd1), .arrest({9'd0, s_axi_arprot}),
        .arvalid(s_axi_arvalid), .arready(s_axi_arready),
        .rid(1'b0), .rdata(s_axi_rdata), .rresp(s_axi_rresp), .rlast(1'b1),
        .rvalid(s_axi_rvalid), .rready(s_axi_rready),
        .violated(violated[1]), .rule(lite_rule), .since(lite_since), .reads(lite_reads), .writes(lite_writes)
    );

    wire moves = (m_axi_awvalid && m_axi_awready) || (m_axi_wvalid && m_axi_wready) || (m_axi_bvalid && m_axi_bready)
               || (m_axi_arvalid && m_axi_arready) || (m_axi_rvalid && m_axi_rready)
               || (s_axi_bvalid && s_axi_bready) || (s_axi_rvalid && s_axi_rready);
    reg [31:0] still;
    always @(posedge aclk) begin
        cycle <= reset ? 0 : cycle + 1;
        still <= reset || moves ? 0 : still + 1;
    end
    assign trouble = violated != 0 || still > QUIET;
endmodule
