// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Sends batches of sentences through one layer's hardware, once for each of LAYERS layers.
//
// Contract: s_axis_length has a beat per sentence: its tokens (1 to 2^LENGTH_BITS - 1), and above
// them 1 for the last sentence of a batch, which has at most MAX_SENTENCES. s_axis_residual has the
// tokens of the sentences, BEATS beats each; m_axis_residual gives them as the last layer leaves
// them. s_axis_load has the images of layers 0 to LAYERS - 1, again and again, IMAGE_BEATS beats
// each; an image goes over the load bus (load_pkg.sv) while the layer before it is computed.
// m_axis_layer, m_axis_layer_length and s_axis_layer are the streams of the layer's hardware,
// layer_rst_n is its reset. What leaves m_axis_loop must come back at s_axis_loop: a memory for the
// tokens of a batch.
// A pass lets a batch through a layer. It begins when the layer's image is there and the hardware
// is empty: then the banks change, while the hardware is in reset. HOPS registers may lie in the
// load bus. The last GAP_BEATS of an image go to memories of one bank: only while the hardware is
// empty. To swap takes 2 HOPS + 8 cycles.
// Throughput and latency: a beat per cycle on every stream; none.
// Reference: hw.reference.run_layer, applied LAYERS times.
`default_nettype none

module layer_sequencer
  import load_pkg::*;
#(
    parameter int unsigned LAYERS        = 2,   // >= 1
    parameter int unsigned BEATS         = 64,  // of a token, >= 1
    parameter int unsigned BEAT_BITS     = 18,  // bits of a residual beat
    parameter int unsigned LENGTH_BITS   = 7,   // bits of a sentence's number of tokens
    parameter int unsigned MAX_SENTENCES = 16,  // of a batch
    parameter int unsigned TOKEN_BITS    = 16,  // bits of a batch's number of tokens
    parameter int unsigned IMAGE_BEATS   = 64,  // of a layer, below 2^INDEX_BITS
    parameter int unsigned GAP_BEATS     = 0,   // of them, those of memories of one bank
    parameter int unsigned LOAD_BITS     = 64,  // bits of a beat of an image
    parameter int unsigned HOPS          = 12   // registers in the load bus
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LENGTH_BITS:0] s_axis_length_tdata,
    input  wire logic                 s_axis_length_tvalid,
    output wire logic                 s_axis_length_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                 s_axis_residual_tvalid,
    output wire logic                 s_axis_residual_tready,

    input  wire logic [LOAD_BITS-1:0] s_axis_load_tdata,
    input  wire logic                 s_axis_load_tvalid,
    output wire logic                 s_axis_load_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_loop_tdata,
    input  wire logic                 s_axis_loop_tvalid,
    output wire logic                 s_axis_loop_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_layer_tdata,
    input  wire logic                 s_axis_layer_tvalid,
    output wire logic                 s_axis_layer_tready,

    output wire logic                            layer_rst_n,
    output      logic [LOAD_BITS+INDEX_BITS+1:0] load,

    output wire logic [LENGTH_BITS-1:0] m_axis_layer_length_tdata,
    output wire logic                   m_axis_layer_length_tvalid,
    input  wire logic                   m_axis_layer_length_tready,

    output wire logic [BEAT_BITS-1:0] m_axis_layer_tdata,
    output wire logic                 m_axis_layer_tvalid,
    input  wire logic                 m_axis_layer_tready,

    output wire logic [BEAT_BITS-1:0] m_axis_loop_tdata,
    output wire logic                 m_axis_loop_tvalid,
    input  wire logic                 m_axis_loop_tready,

    output wire logic [BEAT_BITS-1:0] m_axis_residual_tdata,
    output wire logic                 m_axis_residual_tvalid,
    input  wire logic                 m_axis_residual_tready
);

  if (LAYERS < 1) begin : gen_check_layers
    $fatal(1, "layer_sequencer: LAYERS must be at least 1, got %0d", LAYERS);
  end
  if (IMAGE_BEATS < 1 || IMAGE_BEATS >= 1 << INDEX_BITS) begin : gen_check_image_beats
    $fatal(1, "layer_sequencer: IMAGE_BEATS must be 1 to %0d, got %0d", (1 << INDEX_BITS) - 1,
           IMAGE_BEATS);
  end
  if (GAP_BEATS > IMAGE_BEATS) begin : gen_check_gap_beats
    $fatal(1, "layer_sequencer: GAP_BEATS must be at most %0d, got %0d", IMAGE_BEATS, GAP_BEATS);
  end
  if (TOKEN_BITS < LENGTH_BITS) begin : gen_check_token_bits
    $fatal(1, "layer_sequencer: TOKEN_BITS must be at least LENGTH_BITS, got %0d", TOKEN_BITS);
  end

  localparam int unsigned LAYER_BITS = LAYERS > 1 ? $clog2(LAYERS) : 1;
  localparam int unsigned BEAT_COUNT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;
  // The hardware is in reset from when the last beats have come to when the bank has.
  localparam int unsigned RESET_FROM = HOPS + 2;
  localparam int unsigned TURN_AT = HOPS + 4;
  localparam int unsigned SWAP_CYCLES = 2 * HOPS + 8;
  localparam bit [INDEX_BITS-1:0] FREE_BEATS = INDEX_BITS'(IMAGE_BEATS - GAP_BEATS);
  localparam int unsigned SWAP_BITS = $clog2(SWAP_CYCLES);

  typedef enum logic [1:0] {
    WAIT,  // for the image of the next layer
    SWAP,
    RUN
  } state_t;

  state_t state;
  logic [LAYER_BITS-1:0] layer;
  logic [SWAP_BITS-1:0] swap;
  logic bank, loaded, rests;
  wire logic running = state == RUN;
  wire logic first_layer = layer == '0;
  wire logic last_layer = layer == LAYER_BITS'(LAYERS - 1);

  assign layer_rst_n = rst_n && !rests;

  // ---- Images.

  logic [INDEX_BITS-1:0] index;
  wire logic load_take = s_axis_load_tvalid && s_axis_load_tready;
  wire logic load_ends = index == INDEX_BITS'(IMAGE_BEATS - 1);

  assign s_axis_load_tready = !loaded && (state == WAIT || (running && index < FREE_BEATS));

  // ---- Lengths: they come from outside, then go round.

  wire logic [LENGTH_BITS:0] held_tdata, length;
  wire logic held_tvalid, held_tready, keep_tready, length_valid, length_take;
  logic all_lengths;  // of the batch have gone to the layer
  wire logic [$clog2(MAX_SENTENCES+3)-1:0] unused_level, unused_high_water;

  assign length = first_layer ? s_axis_length_tdata : held_tdata;
  assign length_valid = first_layer ? s_axis_length_tvalid : held_tvalid;
  assign m_axis_layer_length_tdata = length[LENGTH_BITS-1:0];
  assign m_axis_layer_length_tvalid = running && !all_lengths && length_valid && keep_tready;
  assign length_take = m_axis_layer_length_tvalid && m_axis_layer_length_tready;
  assign s_axis_length_tready = first_layer && length_take;
  assign held_tready = !first_layer && length_take;

  stream_fifo #(
      .WIDTH(LENGTH_BITS + 1),
      .DEPTH(MAX_SENTENCES + 2)
  ) u_lengths (
      .clk,
      .rst_n,
      .s_axis_tdata (length),
      .s_axis_tvalid(length_take && !last_layer),
      .s_axis_tready(keep_tready),
      .m_axis_tdata (held_tdata),
      .m_axis_tvalid(held_tvalid),
      .m_axis_tready(held_tready),
      .level        (unused_level),
      .high_water   (unused_high_water)
  );

  // ---- Tokens to the layer and from it.

  logic [TOKEN_BITS-1:0] due;  // tokens whose length has gone to the layer, to go there themselves
  logic [TOKEN_BITS-1:0] present;  // tokens whose length has gone to the layer, to come out
  logic [BEAT_COUNT_BITS-1:0] beat_in, beat_out;
  wire logic source_valid = first_layer ? s_axis_residual_tvalid : s_axis_loop_tvalid;
  wire logic open = running && due != '0;
  wire logic take_in = m_axis_layer_tvalid && m_axis_layer_tready;
  wire logic take_out = s_axis_layer_tvalid && s_axis_layer_tready;
  wire logic token_in = take_in && beat_in == BEAT_COUNT_BITS'(BEATS - 1);
  wire logic token_out = take_out && beat_out == BEAT_COUNT_BITS'(BEATS - 1);
  wire logic [TOKEN_BITS-1:0] more = length_take ? TOKEN_BITS'(length[LENGTH_BITS-1:0]) : '0;

  assign m_axis_layer_tdata = first_layer ? s_axis_residual_tdata : s_axis_loop_tdata;
  assign m_axis_layer_tvalid = open && source_valid;
  assign s_axis_residual_tready = open && first_layer && m_axis_layer_tready;
  assign s_axis_loop_tready = open && !first_layer && m_axis_layer_tready;

  assign m_axis_loop_tdata = s_axis_layer_tdata;
  assign m_axis_residual_tdata = s_axis_layer_tdata;
  assign m_axis_loop_tvalid = running && !last_layer && s_axis_layer_tvalid;
  assign m_axis_residual_tvalid = running && last_layer && s_axis_layer_tvalid;
  assign s_axis_layer_tready =
      running && (last_layer ? m_axis_residual_tready : m_axis_loop_tready);

  always_ff @(posedge clk) begin
    load <= {bank, load_take, index, s_axis_load_tdata};
    rests <= (state == SWAP && swap >= SWAP_BITS'(RESET_FROM)
                     && swap != SWAP_BITS'(SWAP_CYCLES - 1));
    if (load_take) begin
      index <= load_ends ? '0 : index + 1'b1;
      if (load_ends) loaded <= 1'b1;
    end

    if (length_take && length[LENGTH_BITS]) all_lengths <= 1'b1;
    due <= due + more - TOKEN_BITS'(token_in);
    present <= present + more - TOKEN_BITS'(token_out);
    if (take_in) beat_in <= token_in ? '0 : beat_in + 1'b1;
    if (take_out) beat_out <= token_out ? '0 : beat_out + 1'b1;

    swap <= state == SWAP ? swap + 1'b1 : '0;
    case (state)
      WAIT: if (loaded) state <= SWAP;
      SWAP: begin
        if (swap == SWAP_BITS'(TURN_AT)) bank <= !bank;
        if (swap == SWAP_BITS'(SWAP_CYCLES - 1)) begin
          state  <= RUN;
          loaded <= 1'b0;
        end
      end
      default:
      if (all_lengths && present == '0) begin
        state <= WAIT;
        layer <= last_layer ? '0 : layer + 1'b1;
        all_lengths <= 1'b0;
      end
    endcase

    if (!rst_n) begin
      state <= WAIT;
      layer <= '0;
      bank <= 1'b0;
      loaded <= 1'b0;
      index <= '0;
      all_lengths <= 1'b0;
      due <= '0;
      present <= '0;
      beat_in <= '0;
      beat_out <= '0;
      load[LOAD_BITS+INDEX_BITS] <= 1'b0;
      rests <= 1'b0;
    end
  end

endmodule

`default_nettype wire
