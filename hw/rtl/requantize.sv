// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Brings accumulators to the unit of the residual stream and adds them to it.
//
// Contract: x_c = saturate(r_c + floor((acc_c * MULTIPLIER + bias_c) / 2^SHIFT), WORD_BITS), with
// bias_c = B_c + 2^(SHIFT-1), which rounds (B_c if SHIFT = 0). s_axis_accumulator and
// s_axis_residual are taken together. Channel c of a token is lane c % LANES, lowest first, of beat
// c / LANES. BIAS_FILE has a word for each beat of a token: LANES fields of BIAS_BITS signed bits,
// lowest first. BANKS 2: bias and multiplier come by the load bus (load_pkg.sv), first the biases,
// then a word of the multiplier, which has as many bits as MULTIPLIER needs and is at most as large.
// Throughput and latency: a beat per cycle; four cycles. A DSP per lane takes the product and, as
// r 2^SHIFT + bias, everything that is added to it.
// Reference: hw.reference.saturate(r + hw.reference.requantize(acc, M, B, n), W).
`default_nettype none

module requantize #(
    parameter int unsigned HIDDEN     = 256,  // channels of a token
    parameter int unsigned LANES      = 1,    // channels of a beat, divides HIDDEN
    parameter int unsigned WORD_BITS  = 18,   // bits of a residual word
    parameter int unsigned ACC_BITS   = 12,   // bits of an accumulator, signed
    parameter int          MULTIPLIER = 1,    // M, signed
    parameter int unsigned SHIFT      = 0,    // n, 0 to 30
    parameter int unsigned BIAS_BITS  = 24,   // bits of a bias
    parameter int unsigned BIAS_STYLE = 2,    // of that memory: 0 any, 1 LUTs, 2 block RAM
    parameter              BIAS_FILE  = "",   // memory file
    parameter int unsigned BANKS      = 1,    // 2: two banks of constants
    parameter int unsigned LOAD_BITS  = 72,   // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE  = 0,    // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LANES*ACC_BITS-1:0] s_axis_accumulator_tdata,
    input  wire logic                      s_axis_accumulator_tvalid,
    output wire logic                      s_axis_accumulator_tready,

    input  wire logic [LANES*WORD_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                       s_axis_residual_tvalid,
    output wire logic                       s_axis_residual_tready,

    input wire logic [BUS_BITS-1:0] load = '0,

    output wire logic [LANES*WORD_BITS-1:0] m_axis_tdata,
    output wire logic                       m_axis_tvalid,
    input  wire logic                       m_axis_tready
);

  localparam int unsigned BEATS = HIDDEN / LANES;
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;
  localparam int unsigned FACTOR_BITS = 1 + $clog2((MULTIPLIER < 0 ? -MULTIPLIER : MULTIPLIER) + 1);
  localparam int unsigned PRODUCT_BITS = ACC_BITS + FACTOR_BITS;
  localparam int unsigned SHIFTED_BITS = WORD_BITS + SHIFT;
  localparam int unsigned ADDEND_BITS = 1 + (SHIFTED_BITS > BIAS_BITS ? SHIFTED_BITS : BIAS_BITS);
  localparam int unsigned SUM_BITS = 1 + (PRODUCT_BITS > ADDEND_BITS ? PRODUCT_BITS : ADDEND_BITS);
  localparam int unsigned STAGES = 4;

  if (LANES < 1 || HIDDEN < 1 || HIDDEN % LANES != 0) begin : gen_check_lanes
    $fatal(1, "requantize: LANES must divide HIDDEN = %0d, got %0d", HIDDEN, LANES);
  end
  if (SHIFT > 30) begin : gen_check_shift
    $fatal(1, "requantize: SHIFT must be 0 to 30, got %0d", SHIFT);
  end

  logic [STAGES-1:0] valid;
  wire enable, accept;
  wire [BEAT_BITS-1:0] beat;
  wire unused_last;
  wire [LANES*BIAS_BITS-1:0] biases;

  assign enable = !valid[STAGES-1] || m_axis_tready;
  assign accept = s_axis_accumulator_tvalid && s_axis_residual_tvalid && enable;
  assign s_axis_accumulator_tready = enable && s_axis_residual_tvalid;
  assign s_axis_residual_tready = enable && s_axis_accumulator_tvalid;
  assign m_axis_tvalid = valid[STAGES-1];

  always_ff @(posedge clk) begin
    if (enable) valid <= {valid[STAGES-2:0], accept};
    if (!rst_n) valid <= '0;
  end

  beat_counter #(
      .BEATS(BEATS)
  ) u_beat (
      .clk,
      .rst_n,
      .enable(accept),
      .beat,
      .last  (unused_last)
  );

  constant_rom #(
      .WIDTH    (LANES * BIAS_BITS),
      .DEPTH    (BEATS),
      .FILE     (BIAS_FILE),
      .STYLE    (BIAS_STYLE),
      .BANKS    (BANKS),
      .LOAD_BITS(LOAD_BITS),
      .LOAD_BASE(LOAD_BASE)
  ) u_bias (
      .clk,
      .rst_n,
      .load,
      .enable,
      .address(beat),
      .word   (biases)
  );

  logic signed [FACTOR_BITS-1:0] factor;

  if (BANKS == 1) begin : gen_factor
    assign factor = FACTOR_BITS'(MULTIPLIER);
  end else begin : gen_loaded_factor
    constant_rom #(
        .WIDTH    (FACTOR_BITS),
        .DEPTH    (1),
        .STYLE    (1),
        .BANKS    (BANKS),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE + load_pkg::beats(LANES * BIAS_BITS, BEATS, LOAD_BITS))
    ) u_factor (
        .clk,
        .rst_n,
        .load,
        .enable (1'b1),
        .address(1'b0),
        .word   (factor)
    );
  end

  for (genvar lane = 0; lane < LANES; lane++) begin : gen_lane
    logic signed [ACC_BITS-1:0] accumulator;
    logic signed [WORD_BITS-1:0] residual;
    logic signed [PRODUCT_BITS-1:0] product;
    logic signed [ADDEND_BITS-1:0] addend;
    logic signed [SUM_BITS-1:0] sum;
    logic signed [WORD_BITS-1:0] x;

    wire signed [BIAS_BITS-1:0] bias = biases[lane*BIAS_BITS+:BIAS_BITS];
    wire signed [SUM_BITS-SHIFT-1:0] total = sum[SUM_BITS-1:SHIFT];
    wire signed [WORD_BITS-1:0] saturated;
    wire unused = &{1'b0, sum};  // its bits below the shift

    always_ff @(posedge clk) begin
      if (enable) begin
        accumulator <= s_axis_accumulator_tdata[lane*ACC_BITS+:ACC_BITS];
        residual <= s_axis_residual_tdata[lane*WORD_BITS+:WORD_BITS];
        product <= accumulator * factor;
        addend <= (ADDEND_BITS'(residual) <<< SHIFT) + ADDEND_BITS'(bias);
        sum <= SUM_BITS'(product) + SUM_BITS'(addend);
        x <= saturated;
      end
    end

    saturate #(
        .IN_BITS (SUM_BITS - SHIFT),
        .OUT_BITS(WORD_BITS)
    ) u_saturate (
        .in (total),
        .out(saturated)
    );

    assign m_axis_tdata[lane*WORD_BITS+:WORD_BITS] = x;
  end

endmodule

`default_nettype wire
