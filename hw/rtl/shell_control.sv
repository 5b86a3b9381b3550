// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// The shell's sequence: one run or load at a time, errors, and a reset that leaves no access open.
//
// Contract: start begins a run, load a load of weights; both are ignored while busy or after an
// error, a start also while weights are missing, a load also while they are there. launch is set for a cycle, after a reset of the
// data path (data_rst_n). A run ends with finished: done (loading: loaded). An error ends it once
// the memory has drained, without done; only reset clears it. reset works at any time: once the
// memory has drained, it resets data path and accelerator, and clears done, loaded and errors. stop
// is set outside of a run: what an error leaves in the data path stays there.
// Throughput and latency: a run's launch two cycles after start; RESET_CYCLES of a reset.
// Reference: docs/shell.md.
`default_nettype none

module shell_control #(
    parameter int unsigned LOAD_BEATS   = 0,  // beats of the accelerator's weights, 0: none
    parameter int unsigned RESET_CYCLES = 16  // of the accelerator, 1 to 255
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic start,
    input  wire logic load,
    input  wire logic reset,
    output wire logic busy,
    output      logic done,
    output      logic loaded,
    output      logic read_error,
    output      logic write_error,
    output      logic length_error,
    output      logic overflow,

    output      logic data_rst_n,
    output      logic accelerator_rst_n,
    output wire logic launch,
    output      logic loading,
    output wire logic stop,
    input  wire logic finished,
    input  wire logic drained,
    input  wire logic read_failed,
    input  wire logic write_failed,
    input  wire logic length_failed,
    input  wire logic overflowed
);

  if (RESET_CYCLES < 1 || RESET_CYCLES > 255) begin : gen_check_reset_cycles
    $fatal(1, "shell_control: RESET_CYCLES must be 1 to 255, got %0d", RESET_CYCLES);
  end

  typedef enum logic [2:0] {
    IDLE,
    CLEAR,  // the data path's reset
    LAUNCH,
    RUN,
    DRAIN,
    RESET
  } state_t;

  state_t state;
  logic resetting;  // a reset follows the drain
  logic [7:0] count;

  wire logic failed = read_error || write_error || length_error || overflow;
  wire logic failing = read_failed || write_failed || length_failed || overflowed;
  wire logic may_load = load && !failed && !loaded && LOAD_BEATS != 0;
  wire logic may_start = start && !failed && (loaded || LOAD_BEATS == 0);

  assign busy = state != IDLE;
  assign launch = state == LAUNCH;
  assign stop = state != RUN;

  always_ff @(posedge clk) begin
    if (busy && state != CLEAR && state != RESET) begin
      read_error <= read_error || read_failed;
      write_error <= write_error || write_failed;
    end
    // Later than a read error, these may come of what could not be read.
    if (state == RUN) begin
      length_error <= length_failed;
      overflow <= overflowed;
    end
    data_rst_n <= 1'b1;
    accelerator_rst_n <= 1'b1;
    case (state)
      IDLE: begin
        if (may_load || may_start) begin
          state <= CLEAR;
          data_rst_n <= 1'b0;
          loading <= may_load;
          if (!may_load) done <= 1'b0;
        end
      end
      CLEAR:  state <= LAUNCH;
      LAUNCH: state <= RUN;
      RUN: begin
        if (failing) state <= DRAIN;
        else if (finished) begin
          state <= IDLE;
          if (loading) loaded <= 1'b1;
          else done <= 1'b1;
        end
      end
      DRAIN: begin
        if (drained) begin
          state <= resetting ? RESET : IDLE;
          count <= 8'(RESET_CYCLES);
        end
      end
      default: begin  // RESET
        data_rst_n <= 1'b0;
        accelerator_rst_n <= 1'b0;
        count <= count - 1'b1;
        resetting <= 1'b0;
        done <= 1'b0;
        loaded <= 1'b0;
        read_error <= 1'b0;
        write_error <= 1'b0;
        length_error <= 1'b0;
        overflow <= 1'b0;
        if (count == 8'd1) state <= IDLE;
      end
    endcase
    if (reset && state != RESET) begin
      state <= DRAIN;
      resetting <= 1'b1;
    end
    if (!rst_n) begin
      state <= RESET;
      count <= 8'(RESET_CYCLES);
      data_rst_n <= 1'b0;
      accelerator_rst_n <= 1'b0;
      loading <= 1'b0;
    end
  end

endmodule

`default_nettype wire
