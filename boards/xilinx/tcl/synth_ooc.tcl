# Synthesises the accelerator by itself, and places and routes it if called with `route`; reports go to `reports`.
#
#     vivado -mode batch -source synth_ooc.tcl [-tclargs route]

source [file join [file dirname [file normalize [info script]]] settings.tcl]

set reports [file join $here reports]
file mkdir $reports

proc report {stage} {
    global reports
    report_utilization -file [file join $reports ${stage}_utilisation.txt]
    report_utilization -hierarchical -hierarchical_depth 6 -file [file join $reports ${stage}_hierarchy.txt]
    report_timing_summary -delay_type min_max -max_paths 10 -file [file join $reports ${stage}_timing.txt]
    report_methodology -file [file join $reports ${stage}_methodology.txt]
}

create_project -in_memory -part $part
foreach name $sources {
    read_verilog [file join $here $name]
}
read_xdc -mode out_of_context [file join $here clock.xdc]
# Registers that equal each other stay apart: those in a DSP are not the same as those between the cells.
synth_design -top $top -part $part -mode out_of_context -flatten_hierarchy rebuilt -keep_equivalent_registers
write_checkpoint -force [file join $reports synth.dcp]
report synth

if {[info exists argv] && [lindex $argv 0] eq "route"} {
    opt_design
    place_design
    phys_opt_design
    route_design
    write_checkpoint -force [file join $reports route.dcp]
    report route
}

set slack [get_property SLACK [lindex [get_timing_paths -max_paths 1 -delay_type max] 0]]
puts "worst slack at $clock_mhz MHz: $slack ns"
