// Device memory behind one or more AXI4 ports: the timing of a DRAM, the contents of an image file.
//
// One storage serves all CHANNELS; each channel has its own queues, banks and data bus. Reads with
// different ids may return out of order, reads with one id never do. A burst is a run of beats
// unless `hostile=2`, which also interleaves bursts of different ids, as AXI4 allows.
//
// Plusargs (numbers in decimal unless said otherwise):
//   image=FILE       contents, loaded from address 0: words of DATA_BITS, most significant byte first
//   dump=FILE        where dumped words go, least significant byte first
//   latency=N        cycles from the address handshake to the first beat of an open row (100)
//   row_cycles=N     further cycles, and the bank's occupation, when the row is not open (12)
//   refresh_interval=N  cycles between two refreshes of a channel, channels in turns (1950)
//   refresh_cycles=N    cycles of one, the last of the interval, in which no burst is begun; it
//                       closes all rows; 0: none (88)
//   bandwidth=N      data beats a channel moves in 256 cycles, reads and writes together (256)
//   hostile=N        0: none; 1: random latency, order and back-pressure; 2: also interleaving
//   hostile_latency=N  further cycles at most before a burst's first beat, when hostile (63)
//   memory_seed=N    seed of the hostile mode (1)
//   error_low=HEX, error_high=HEX   accesses in [low, high) answer with an error
//   error_response=N  that error: 2 SLVERR, 3 DECERR (2)
// Accesses beyond the memory answer DECERR.
module dram #(
    parameter CHANNELS = 1,
    parameter DATA_BITS = 64,
    parameter ID_BITS = 4,
    parameter ADDRESS_BITS = 40,
    parameter LOG2_BYTES = 20,
    parameter LOG2_READS = 8,   // read bursts a channel holds: more than a device has in flight
    parameter LOG2_WRITES = 4,  // write bursts a channel holds
    parameter WINDOW = 8        // oldest read bursts among which the next one is chosen
) (
    input clock,
    input reset,
    input [31:0] cycle,

    input [CHANNELS-1:0] arvalid,
    output [CHANNELS-1:0] arready,
    input [CHANNELS*ID_BITS-1:0] arid,
    input [CHANNELS*ADDRESS_BITS-1:0] araddr,
    input [CHANNELS*8-1:0] arlen,
    input [CHANNELS*3-1:0] arsize,

    output [CHANNELS-1:0] rvalid,
    input [CHANNELS-1:0] rready,
    output [CHANNELS*ID_BITS-1:0] rid,
    output [CHANNELS*DATA_BITS-1:0] rdata,
    output [CHANNELS*2-1:0] rresp,
    output [CHANNELS-1:0] rlast,

    input [CHANNELS-1:0] awvalid,
    output [CHANNELS-1:0] awready,
    input [CHANNELS*ID_BITS-1:0] awid,
    input [CHANNELS*ADDRESS_BITS-1:0] awaddr,
    input [CHANNELS*8-1:0] awlen,
    input [CHANNELS*3-1:0] awsize,

    input [CHANNELS-1:0] wvalid,
    output [CHANNELS-1:0] wready,
    input [CHANNELS*DATA_BITS-1:0] wdata,
    input [CHANNELS*DATA_BITS/8-1:0] wstrb,

    output [CHANNELS-1:0] bvalid,
    input [CHANNELS-1:0] bready,
    output [CHANNELS*ID_BITS-1:0] bid,
    output [CHANNELS*2-1:0] bresp,

    // The host's view, outside AXI: one word at a time, or a dump of `host_count` words to a file.
    input [31:0] host_index,
    input host_write,
    input [DATA_BITS-1:0] host_write_data,
    output [DATA_BITS-1:0] host_read_data,
    input host_dump,
    input [31:0] host_count
);
    localparam BYTES = DATA_BITS / 8;
    localparam LOG2_WORD = $clog2(BYTES);
    localparam INDEX_BITS = LOG2_BYTES - LOG2_WORD;
    localparam WORDS = 1 << INDEX_BITS;
    localparam READS = 1 << LOG2_READS;
    localparam WRITES = 1 << LOG2_WRITES;
    localparam LOG2_ROW = 12;  // a row is 4 KB, so that no burst crosses one
    localparam ROW_BITS = ADDRESS_BITS - LOG2_ROW;
    localparam BANKS = 16;
    localparam BEAT = 256;  // credit of one beat, see `bandwidth`

    /* verilator lint_off MULTIDRIVEN */  // by the clock and by the host's events
    reg [DATA_BITS-1:0] storage [0:WORDS-1];
    /* verilator lint_on MULTIDRIVEN */

    // -- settings ----------------------------------------------------------------------------------
    integer latency, row_cycles, bandwidth, hostile, hostile_latency, memory_seed;
    integer refresh_interval, refresh_cycles, error_response;
    reg [ADDRESS_BITS-1:0] error_low, error_high;
    reg [8*256-1:0] image_name, dump_name;
    integer image_file, dump_file, loaded, dump_at;

    initial begin
        if (!$value$plusargs("latency=%d", latency)) latency = 100;
        if (!$value$plusargs("row_cycles=%d", row_cycles)) row_cycles = 12;
        if (!$value$plusargs("bandwidth=%d", bandwidth)) bandwidth = BEAT;
        if (!$value$plusargs("hostile=%d", hostile)) hostile = 0;
        if (!$value$plusargs("hostile_latency=%d", hostile_latency)) hostile_latency = 63;
        if (!$value$plusargs("refresh_interval=%d", refresh_interval)) refresh_interval = 1950;
        if (!$value$plusargs("refresh_cycles=%d", refresh_cycles)) refresh_cycles = 88;
        if (!$value$plusargs("memory_seed=%d", memory_seed)) memory_seed = 1;
        if (!$value$plusargs("error_response=%d", error_response)) error_response = 2;
        if (!$value$plusargs("error_low=%h", error_low)) error_low = 0;
        if (!$value$plusargs("error_high=%h", error_high)) error_high = 0;
        if ($value$plusargs("image=%s", image_name)) begin
            image_file = $fopen(image_name, "rb");
            if (image_file == 0) $display("dram: cannot open the image file");
            else begin
                loaded = $fread(storage, image_file);
                $fclose(image_file);
            end
        end
        dump_file = 0;
        if ($value$plusargs("dump=%s", dump_name)) dump_file = $fopen(dump_name, "wb");
    end

    function [1:0] response;
        input [ADDRESS_BITS-1:0] address;
        if ((address >> LOG2_BYTES) != 0) response = 2'd3;
        else if (address >= error_low && address < error_high) response = error_response[1:0];
        else response = 2'd0;
    endfunction

    function [ADDRESS_BITS-1:0] next_beat;
        input [ADDRESS_BITS-1:0] address;
        input [2:0] size;
        next_beat = ((address >> size) + 1) << size;
    endfunction

    function [31:0] xorshift;
        input [31:0] state;
        reg [31:0] x;
        begin
            x = state ^ (state << 13);
            x = x ^ (x >> 17);
            xorshift = x ^ (x << 5);
        end
    endfunction

    // -- the host's view ---------------------------------------------------------------------------
    assign host_read_data = storage[host_index[INDEX_BITS-1:0]];

    // At an event of its own, not at the clock: the host need not count cycles.
    always @(posedge host_write) storage[host_index[INDEX_BITS-1:0]] <= host_write_data;

    always @(posedge host_dump) begin
        for (dump_at = 0; dump_at < host_count; dump_at = dump_at + 1)
            $fwrite(dump_file, "%u", storage[host_index[INDEX_BITS-1:0] + dump_at[INDEX_BITS-1:0]]);
        $fflush(dump_file);
    end

    // -- channels ----------------------------------------------------------------------------------
    genvar c;
    generate for (c = 0; c < CHANNELS; c = c + 1) begin : channel
        // Random numbers of this channel, and how often it stalls: the odds change every 64 cycles,
        // so that both full speed and near standstill occur.
        reg [31:0] random;
        reg [3:0] odds;  // of a stall, in sixteenths
        wire stall_ar = hostile != 0 && random[3:0] < odds;
        wire stall_r = hostile != 0 && random[7:4] < odds;
        wire stall_aw = hostile != 0 && random[11:8] < odds;
        wire stall_w = hostile != 0 && random[15:12] < odds;
        wire stall_b = hostile != 0 && random[19:16] < odds;

        always @(posedge clock)
            if (reset) begin
                odds <= 0;
                random <= (32'h9E3779B9 * (memory_seed + c)) | 1;  // the generator stops at 0
            end else if (hostile != 0) begin
                random <= xorshift(random);
                if (cycle[5:0] == 0)
                    case (random[21:20])
                        0: odds <= 0;
                        1: odds <= 4;
                        2: odds <= 8;
                        3: odds <= 14;
                    endcase
            end

        // Credit for beats: gains `bandwidth` a cycle, a beat costs BEAT. Writes may overdraw it.
        integer credit;

        // -- reads ---------------------------------------------------------------------------------
        reg ar_ready, r_valid, r_last;
        reg [ID_BITS-1:0] r_id;
        reg [DATA_BITS-1:0] r_data;
        reg [1:0] r_resp;
        reg [ID_BITS-1:0] queue_id [0:READS-1];
        reg [ADDRESS_BITS-1:0] queue_address [0:READS-1];
        reg [7:0] queue_left [0:READS-1];
        reg [2:0] queue_size [0:READS-1];
        reg [31:0] queue_time [0:READS-1];  // earliest cycle of the first beat
        reg [READS-1:0] queue_done;
        reg [LOG2_READS:0] head, tail;
        // Counts wrap: a difference counts only in as many bits, not where Verilog widens it.
        reg [LOG2_READS:0] reads_left;
        reg [31:0] bank_free [0:BANKS-1];
        reg [ROW_BITS-1:0] bank_row [0:BANKS-1];
        reg [31:0] bank_epoch [0:BANKS-1];  // refreshes before the row was opened

        reg bursting, blocked;
        reg [LOG2_READS-1:0] burst, slot, older;
        reg [ROW_BITS-1:0] row;
        reg [3:0] bank;
        reg [31:0] start, since, epoch;
        integer i, j;

        assign arready[c] = ar_ready;
        assign rvalid[c] = r_valid;
        assign rlast[c] = r_last;
        assign rid[c*ID_BITS +: ID_BITS] = r_id;
        assign rdata[c*DATA_BITS +: DATA_BITS] = r_data;
        assign rresp[c*2 +: 2] = r_resp;

        // -- writes --------------------------------------------------------------------------------
        reg aw_ready, b_valid;
        reg [ID_BITS-1:0] b_id;
        reg [1:0] b_resp;
        reg [ID_BITS-1:0] write_id [0:WRITES-1];
        reg [ADDRESS_BITS-1:0] write_address [0:WRITES-1];
        reg [7:0] write_left [0:WRITES-1];
        reg [2:0] write_size [0:WRITES-1];
        reg [1:0] write_resp [0:WRITES-1];
        reg [31:0] write_time [0:WRITES-1];  // earliest cycle of the response
        // Bursts of the ring: [write_head, write_data) wait for their response, [write_data,
        // write_tail) for their data.
        reg [LOG2_WRITES:0] write_head, write_data, write_tail;
        reg [LOG2_WRITES:0] writes_left;
        reg [LOG2_WRITES-1:0] entry;
        reg [DATA_BITS-1:0] merged;
        integer k;

        assign awready[c] = aw_ready;
        assign wready[c] = write_data != write_tail && !stall_w;
        assign bvalid[c] = b_valid;
        assign bid[c*ID_BITS +: ID_BITS] = b_id;
        assign bresp[c*2 +: 2] = b_resp;

        initial begin
            ar_ready = 0;
            r_valid = 0;
            aw_ready = 0;
            b_valid = 0;
            head = 0;
            tail = 0;
            bursting = 0;
            queue_done = 0;
            write_head = 0;
            write_data = 0;
            write_tail = 0;
            credit = 0;
            for (i = 0; i < BANKS; i = i + 1) begin
                bank_free[i] = 0;
                bank_row[i] = {ROW_BITS{1'b1}};
                bank_epoch[i] = 0;
            end
        end

        always @(posedge clock) if (reset) begin
            ar_ready <= 0;
            r_valid <= 0;
            aw_ready <= 0;
            b_valid <= 0;
            head = 0;
            tail = 0;
            bursting = 0;
            write_head = 0;
            write_data = 0;
            write_tail = 0;
        end else begin
            credit = credit + bandwidth > BEAT ? BEAT : credit + bandwidth;

            // Take a read address; its bank decides when the data can come.
            if (arvalid[c] && ar_ready) begin
                slot = tail[LOG2_READS-1:0];
                row = araddr[c*ADDRESS_BITS + LOG2_ROW +: ROW_BITS];
                bank = row[3:0] ^ row[7:4] ^ row[11:8];
                start = $signed(bank_free[bank] - cycle) > 0 ? bank_free[bank] : cycle;
                if (refresh_cycles != 0) begin
                    since = start + c * refresh_interval / CHANNELS;
                    epoch = since / refresh_interval;
                    since = since - epoch * refresh_interval;
                    if (since + refresh_cycles >= refresh_interval) begin
                        start = start + refresh_interval - since;
                        epoch = epoch + 1;
                    end
                    if (bank_epoch[bank] != epoch) bank_row[bank] = {ROW_BITS{1'b1}};
                    bank_epoch[bank] = epoch;
                end
                if (bank_row[bank] != row) begin
                    start = start + row_cycles;
                    bank_free[bank] = start;
                    bank_row[bank] = row;
                end
                if (hostile != 0) start = start + random[31:16] % (hostile_latency + 1);
                queue_id[slot] = arid[c*ID_BITS +: ID_BITS];
                queue_address[slot] = araddr[c*ADDRESS_BITS +: ADDRESS_BITS];
                queue_left[slot] = arlen[c*8 +: 8];
                queue_size[slot] = arsize[c*3 +: 3];
                queue_time[slot] = start + latency - 1;
                queue_done[slot] = 0;
                tail = tail + 1;
            end

            // Give a beat: of the burst under way, else of the oldest one whose time has come.
            reads_left = tail - head;
            if (!r_valid || rready[c]) begin
                r_valid <= 0;
                if (!bursting && head != tail) for (i = 0; i < WINDOW; i = i + 1) begin
                    older = head[LOG2_READS-1:0] + i;
                    if (!bursting && i < reads_left && !queue_done[older]
                        && $signed(cycle - queue_time[older]) >= 0
                        && !(hostile != 0 && random[24 + i % 8])) begin
                        blocked = 0;
                        for (j = 0; j < i; j = j + 1) begin
                            slot = head[LOG2_READS-1:0] + j;
                            if (!queue_done[slot] && queue_id[slot] == queue_id[older]) blocked = 1;
                        end
                        if (!blocked) begin
                            bursting = 1;
                            burst = older;
                        end
                    end
                end
                if (bursting && credit >= BEAT && !stall_r) begin
                    credit = credit - BEAT;
                    r_valid <= 1;
                    r_id <= queue_id[burst];
                    r_last <= queue_left[burst] == 0;
                    r_resp <= response(queue_address[burst]);
                    r_data <= storage[queue_address[burst][LOG2_WORD +: INDEX_BITS]];
                    queue_address[burst] = next_beat(queue_address[burst], queue_size[burst]);
                    if (queue_left[burst] == 0) begin
                        queue_done[burst] = 1;
                        bursting = 0;
                    end
                    queue_left[burst] = queue_left[burst] - 1;
                    if (hostile > 1 && random[23:22] == 0) bursting = 0;
                end
            end
            // At most one a cycle ends, but one that ended late may free all behind it.
            if (head != tail) for (i = 0; i < WINDOW; i = i + 1)
                if (head != tail && queue_done[head[LOG2_READS-1:0]]) head = head + 1;
            reads_left = tail - head;
            ar_ready <= reads_left < READS - 1 && !stall_ar;

            // Take a write beat for the oldest address without its data.
            if (wvalid[c] && wready[c]) begin
                entry = write_data[LOG2_WRITES-1:0];
                credit = credit - BEAT;
                merged = storage[write_address[entry][LOG2_WORD +: INDEX_BITS]];
                for (k = 0; k < BYTES; k = k + 1)
                    if (wstrb[c*BYTES + k]) merged[8*k +: 8] = wdata[c*DATA_BITS + 8*k +: 8];
                if (response(write_address[entry]) == 0)
                    storage[write_address[entry][LOG2_WORD +: INDEX_BITS]] <= merged;
                write_resp[entry] = write_resp[entry] | response(write_address[entry]);
                write_address[entry] = next_beat(write_address[entry], write_size[entry]);
                write_time[entry] = cycle + latency - 1;
                if (write_left[entry] == 0) write_data = write_data + 1;
                write_left[entry] = write_left[entry] - 1;
            end

            // Take a write address.
            if (awvalid[c] && aw_ready) begin
                entry = write_tail[LOG2_WRITES-1:0];
                write_id[entry] = awid[c*ID_BITS +: ID_BITS];
                write_address[entry] = awaddr[c*ADDRESS_BITS +: ADDRESS_BITS];
                write_left[entry] = awlen[c*8 +: 8];
                write_size[entry] = awsize[c*3 +: 3];
                write_resp[entry] = 0;
                write_tail = write_tail + 1;
            end

            // Give a write response, in order.
            if (!b_valid || bready[c]) begin
                b_valid <= 0;
                entry = write_head[LOG2_WRITES-1:0];
                if (write_head != write_data && $signed(cycle - write_time[entry]) >= 0
                    && !stall_b) begin
                    b_valid <= 1;
                    b_id <= write_id[entry];
                    b_resp <= write_resp[entry];
                    write_head = write_head + 1;
                end
            end
            writes_left = write_tail - write_head;
            aw_ready <= writes_left < WRITES - 1 && !stall_aw;
        end
    end endgenerate
endmodule
