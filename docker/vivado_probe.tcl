# What Vivado says of a part, a board and its own licence: a line "probe: WHAT ok" or "probe: WHAT
# REASON" for each. Arguments: part, board part, folder of board files.
lassign $argv part board_part board_files

proc answer {what script} {
    if {[catch {uplevel 1 $script} message]} {
        puts "probe: $what [regsub -all {\s+} $message { }]"
        exit 0
    }
    puts "probe: $what ok"
}

answer part {
    if {[llength [get_parts -quiet $part]] == 0} {
        error "expected $part, which this Vivado was installed without"
    }
}
answer board {
    set_param board.repoPaths [list {*}[get_param board.repoPaths] $board_files]
    if {[llength [get_board_parts -quiet $board_part]] == 0} {
        error "expected $board_part, which is neither in Vivado nor in $board_files"
    }
}
answer synthesis {
    set file [open probe.v w]
    puts $file "module probe (input c, d, output reg q); always @(posedge c) q <= d; endmodule"
    close $file
    create_project -in_memory -part $part
    read_verilog probe.v
    synth_design -top probe -part $part
}
answer implementation {
    opt_design
    place_design
}
