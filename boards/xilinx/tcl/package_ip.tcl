# Packages the accelerator as an IP for Vivado's catalogue, in folder `ip`.
#
#     vivado -mode batch -source package_ip.tcl

source [file join [file dirname [file normalize [info script]]] settings.tcl]

create_project -force -part $part package [file join $here build package]
foreach name $sources {
    add_files -norecurse [file join $here $name]
}
set_property top $top [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir [file join $here ip] -vendor $vendor -library $library -taxonomy /UserIP \
    -import_files -force
set core [ipx::current_core]
set_property name $top $core
set_property version $version $core
set_property display_name $title $core
set_property description $description $core
set_property core_revision 1 $core
set_property supported_families {zynq Production zynquplus Production} $core

# Whatever the packager has guessed by itself is made anew, so that nothing depends on what it guesses.
ipx::remove_all_bus_interface $core
ipx::remove_all_memory_map $core
ipx::remove_all_address_space $core

# name: interface; mode; pairs of logical and physical names
proc add_interface {name definition mode pairs} {
    global core
    set bus [ipx::add_bus_interface $name $core]
    set_property bus_type_vlnv $definition:1.0 $bus
    set_property abstraction_type_vlnv ${definition}_rtl:1.0 $bus
    set_property interface_mode $mode $bus
    foreach {logical physical} $pairs {
        set map [ipx::add_port_map $logical $bus]
        set_property physical_name $physical $map
    }
    return $bus
}

proc set_parameter {bus name value} {
    set_property value $value [ipx::add_bus_parameter $name $bus]
}

set clock [add_interface aclk xilinx.com:signal:clock slave {CLK aclk}]
set_parameter $clock ASSOCIATED_BUSIF s_axi:m_axi
set_parameter $clock ASSOCIATED_RESET aresetn
set reset [add_interface aresetn xilinx.com:signal:reset slave {RST aresetn}]
set_parameter $reset POLARITY ACTIVE_LOW
set interrupt [add_interface interrupt xilinx.com:signal:interrupt master {INTERRUPT interrupt}]
set_parameter $interrupt SENSITIVITY LEVEL_HIGH

set registers_bus [add_interface s_axi xilinx.com:interface:aximm slave $s_axi]
set_parameter $registers_bus PROTOCOL AXI4LITE
set map [ipx::add_memory_map s_axi $core]
set_property slave_memory_map_ref s_axi $registers_bus
set block [ipx::add_address_block registers $map]
set_property range $registers_range $block
set_property width 32 $block
set_property usage register $block
set_property access read-write $block

set memory_bus [add_interface m_axi xilinx.com:interface:aximm master $m_axi]
foreach {name value} $m_axi_parameters {
    set_parameter $memory_bus $name $value
}
set space [ipx::add_address_space m_axi $core]
set_property master_address_space_ref m_axi $memory_bus
set_property range $memory_range $space
set_property width $address_bits $space

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
puts "packaged: [file join $here ip]"
