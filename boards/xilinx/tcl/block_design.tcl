# Builds the board: processing system, accelerator, reset and interconnects; leaves bitstream and hand-off in `out`.
# Run package_ip.tcl first.
#
#     vivado -mode batch -source block_design.tcl

source [file join [file dirname [file normalize [info script]]] settings.tcl]

set jobs 4
if {![file isdirectory [file join $here ip]]} {
    error "no folder ip: run package_ip.tcl first"
}
set project [file join $here build $board]
create_project -force -part $part $board $project
set known [lsort -dictionary [get_board_parts -quiet $board_part]]
if {[llength $known] == 0} {
    error "Vivado does not know the board $board_part: install $board_files"
}
set_property board_part [lindex $known end] [current_project]
set_property ip_repo_paths [file join $here ip] [current_project]
update_ip_catalog

create_bd_design system

set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:$ps_ip ps]
apply_bd_automation -rule xilinx.com:bd_rule:$ps_ip -config $ps_automation $ps
set_property -dict [concat $ps_settings [list $ps_clock_setting $clock_mhz]] $ps
set accelerator [create_bd_cell -type ip -vlnv $vendor:$library:$top:$version accelerator]
set reset [create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset]
foreach name {to_registers to_memory} {
    set cell [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $name]
    set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 1 CONFIG.NUM_CLKS 1} $cell
}

proc pins {names} {
    set found {}
    foreach name $names {
        lappend found [get_bd_pins $name]
    }
    return $found
}

proc join_interfaces {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

connect_bd_net {*}[pins [list ps/$ps_clock ps/$ps_master_clock ps/$ps_slave_clock accelerator/aclk \
    reset/slowest_sync_clk to_registers/aclk to_memory/aclk]]
connect_bd_net {*}[pins [list ps/$ps_reset reset/ext_reset_in]]
connect_bd_net {*}[pins {reset/peripheral_aresetn accelerator/aresetn to_registers/aresetn to_memory/aresetn}]
connect_bd_net {*}[pins [list accelerator/interrupt ps/$ps_interrupt]]
join_interfaces ps/$ps_master to_registers/S00_AXI
join_interfaces to_registers/M00_AXI accelerator/s_axi
join_interfaces accelerator/m_axi to_memory/S00_AXI
join_interfaces to_memory/M00_AXI ps/$ps_slave

assign_bd_address -offset $registers_base -range $registers_range -target_address_space [get_bd_addr_spaces ps/Data] \
    [get_bd_addr_segs accelerator/s_axi/registers]
assign_bd_address -target_address_space [get_bd_addr_spaces accelerator/m_axi] [get_bd_addr_segs ps/$ps_memory]

validate_bd_design
save_bd_design
set design [get_files system.bd]
make_wrapper -files $design -top -import
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1
generate_target all $design

launch_runs impl_1 -to_step write_bitstream -jobs $jobs
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "implementation stopped: [get_property STATUS [get_runs impl_1]]"
}
set slack [get_property STATS.WNS [get_runs impl_1]]
if {$slack < 0} {
    error "timing is not met at $clock_mhz MHz: worst slack $slack ns"
}

# PYNQ wants both under one name.
set out [file join $here out]
file mkdir $out
file copy -force [file join $project $board.runs impl_1 system_wrapper.bit] [file join $out $top.bit]
file copy -force [file join $project $board.gen sources_1 bd system hw_handoff system.hwh] [file join $out $top.hwh]
puts "written: [file join $out $top.bit] and .hwh"
