// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Activation buffer of the binary MVU: the token in work, and the next ones.
//
// Contract: the beats of a token are written in order at write_fold 0 to FOLDS - 1, in cycles with
// ready; the last one completes it. waiting says that a complete token is not in work yet. start
// (with enable and waiting) takes the oldest of them into work, in place of the one before. In a
// cycle with enable, code becomes beat read_fold of the token in work. Only control is reset.
// Throughput and latency: a beat is written per cycle, and one is read. ready is a function of
// registers, at FOLDS 1 of start too.
// Memory: SLOTS tokens, each of a power of two of beats. At FOLDS 1 no memory but three registers.
// Reference: the identity.
`default_nettype none

module mvu_token_buffer #(
    parameter int unsigned WIDTH = 64,  // bits of a beat, >= 1
    parameter int unsigned FOLDS = 4,   // beats of a token, >= 1
    parameter int unsigned SLOTS = 2,   // tokens that fit, the one in work included: 2 or 4
    parameter int unsigned BLOCK = 0,   // 0: LUTs as memory, 1: block RAM
    localparam int unsigned FOLD_BITS = FOLDS > 1 ? $clog2(FOLDS) : 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic                 write,
    input  wire logic [FOLD_BITS-1:0] write_fold,
    input  wire logic [    WIDTH-1:0] write_code,
    output wire logic                 ready,

    input  wire logic                 enable,
    input  wire logic                 start,
    input  wire logic [FOLD_BITS-1:0] read_fold,
    output wire logic [    WIDTH-1:0] code,
    output wire logic                 waiting
);

  if (SLOTS != 2 && SLOTS != 4) begin : gen_check_slots
    $fatal(1, "mvu_token_buffer: SLOTS must be 2 or 4, got %0d", SLOTS);
  end

  if (FOLDS == 1) begin : gen_registers
    logic [WIDTH-1:0] next, current, operand;
    logic next_valid;

    wire unused = &{write_fold, read_fold};

    assign ready = !next_valid || start;
    assign waiting = next_valid;
    assign code = operand;

    always_ff @(posedge clk) begin
      if (ready) begin
        next <= write_code;
        next_valid <= write;
      end
      if (start) current <= next;
      if (enable) operand <= current;
      if (!rst_n) next_valid <= 1'b0;
    end
  end else begin : gen_memory
    localparam int unsigned SLOT_BITS = $clog2(SLOTS);

    logic [SLOT_BITS-1:0] write_slot, read_slot;
    logic [SLOT_BITS-1:0] count;  // complete tokens not in work, 0 to SLOTS - 1
    logic complete;

    assign ready = count != SLOT_BITS'(SLOTS - 1);
    assign waiting = count != 0;
    assign complete = write && ready && write_fold == FOLD_BITS'(FOLDS - 1);

    always_ff @(posedge clk) begin
      if (complete) write_slot <= write_slot + 1'b1;
      if (start) read_slot <= read_slot + 1'b1;
      if (complete != start) count <= complete ? count + 1'b1 : count - 1'b1;
      if (!rst_n) begin
        write_slot <= '0;
        read_slot <= '1;
        count <= '0;
      end
    end

    two_port_ram #(
        .WIDTH(WIDTH),
        .DEPTH(SLOTS << FOLD_BITS),
        .BLOCK(BLOCK)
    ) u_ram (
        .clk,
        .write_enable (write && ready),
        .write_address({write_slot, write_fold}),
        .write_data   (write_code),
        .read_enable  (enable),
        .read_address ({read_slot, read_fold}),
        .read_data    (code)
    );
  end

endmodule

`default_nettype wire
