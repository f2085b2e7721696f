//! A full log file as a gzip file: repeated runs are named instead of written again (RFC 1951, fixed codes; RFC 1952 around it).
//!
//! Invariants
//! - A run is looked for only in what was read with it: memory is bounded by `CHUNK_BYTES`, whatever the file's length.

use std::io::{self, Read, Write};

/// Read and compressed at once.
const CHUNK_BYTES: usize = 1 << 18;
/// How far back a run may be named.
const DISTANCE_MAX: usize = 32_768;
const RUN_MIN: usize = 4;
const RUN_MAX: usize = 258;
const HASH_BITS: u32 = 15;
/// The end of a block.
const END: u32 = 256;

/// Magic, deflate, no flags, no time, no hints, Unix.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// First length of each code from 257 on, and the bits that tell which of them it is.
const LENGTHS: [(u32, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// The same of distances.
const DISTANCES: [(u32, u32); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// Writes all of `from` to `to`, compressed.
pub(super) fn compress(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bits = Bits { out: HEAD.to_vec(), waiting: 0, count: 0 };
    let (mut sum, mut length, mut chunk) = (!0u32, 0u32, Vec::new());
    loop {
        chunk.clear();
        let read = from.by_ref().take(u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX)).read_to_end(&mut chunk)?;
        let last = read < CHUNK_BYTES;
        // A block with fixed codes.
        bits.put(u32::from(last), 1);
        bits.put(1, 2);
        put_chunk(&mut bits, &chunk);
        bits.put_symbol(END);
        sum = chunk.iter().fold(sum, |sum, byte| crc_step(sum, *byte));
        length = length.wrapping_add(u32::try_from(read).unwrap_or(0));
        if last {
            bits.flush();
            bits.out.extend((!sum).to_le_bytes());
            bits.out.extend(length.to_le_bytes());
        }
        to.write_all(&bits.out)?;
        bits.out.clear();
        if last {
            return to.flush();
        }
    }
}

/// One bit of the checksum after the other: a log file is compressed once, in the background.
fn crc_step(sum: u32, byte: u8) -> u32 {
    (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 })
}

fn put_chunk(bits: &mut Bits, chunk: &[u8]) {
    // By the hash of what begins there: the place after the last such beginning; 0 is none.
    let mut seen = vec![0usize; 1 << HASH_BITS];
    let mut at = 0;
    while at < chunk.len() {
        let earlier = chunk.get(at..at + RUN_MIN).map_or(0, |begin| std::mem::replace(&mut seen[hash(begin)], at + 1));
        let found = earlier.checked_sub(1).map(|earlier| (at - earlier, run_length(chunk, earlier, at)));
        match found.filter(|(distance, run)| *run >= RUN_MIN && *distance <= DISTANCE_MAX) {
            Some((distance, run)) => {
                bits.put_run(u32::try_from(run).unwrap_or(0), u32::try_from(distance).unwrap_or(0));
                at += run;
            }
            None => {
                bits.put_symbol(u32::from(chunk[at]));
                at += 1;
            }
        }
    }
}

fn hash(begin: &[u8]) -> usize {
    let word = begin.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    usize::try_from(word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)).unwrap_or(0)
}

/// How many bytes from `earlier` on are the same as from `at` on.
fn run_length(chunk: &[u8], earlier: usize, at: usize) -> usize {
    let both = chunk[earlier..].iter().zip(&chunk[at..]).take(RUN_MAX);
    both.take_while(|(one, other)| one == other).count()
}

/// Bits, the lowest first.
struct Bits {
    out: Vec<u8>,
    waiting: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
        assert!(bits <= 16 && value < 1 << bits, "{value} in {bits} bits");
        self.waiting |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.push();
            self.count -= 8;
        }
    }

    fn push(&mut self) {
        let [lowest, ..] = self.waiting.to_le_bytes();
        self.out.push(lowest);
        self.waiting >>= 8;
    }

    fn flush(&mut self) {
        if self.count > 0 {
            self.push();
            self.count = 0;
        }
    }

    /// A code of Huffman's, whose highest bit comes first.
    fn put_code(&mut self, code: u32, bits: u32) {
        self.put(code.reverse_bits() >> (32 - bits), bits);
    }

    /// A byte, the end, or the code of a length.
    fn put_symbol(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.put_code(0x30 + symbol, 8),
            144..=255 => self.put_code(0x190 + symbol - 144, 9),
            256..=279 => self.put_code(symbol - 256, 7),
            _ => self.put_code(0xc0 + symbol - 280, 8),
        }
    }

    fn put_run(&mut self, length: u32, distance: u32) {
        let (code, first, bits) = find(&LENGTHS, length);
        self.put_symbol(257 + code);
        self.put(length - first, bits);
        let (code, first, bits) = find(&DISTANCES, distance);
        self.put_code(code, 5);
        self.put(distance - first, bits);
    }
}

/// The last entry that does not begin behind `value`: its number, its first value, its bits.
fn find(table: &[(u32, u32)], value: u32) -> (u32, u32, u32) {
    let place =
        table.partition_point(|(first, _)| *first <= value).checked_sub(1).expect("no table begins behind 3 and 1");
    let (first, bits) = table[place];
    (u32::try_from(place).unwrap_or(0), first, bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// gzip itself gives the bytes back.
    fn unpacked(packed: Vec<u8>) -> Vec<u8> {
        let mut child = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || stdin.write_all(&packed));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn gzip_gives_back_what_was_compressed() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let byte = |_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random.to_le_bytes()[0]
            };
            (0..length).map(byte).collect()
        };
        let line = "{\"level\":\"info\",\"ts\":\"2006-01-02T15:04:05.000000Z\",\"msg\":\"é again\"}\n".repeat(9000);
        let samples = [
            Vec::new(),
            b"a".to_vec(),
            vec![b'x'; 1000],
            noise(70_000),
            noise(CHUNK_BYTES),
            line.clone().into_bytes(),
            [noise(40_000), vec![0; 600], line.clone().into_bytes(), noise(3)].concat(),
        ];
        for sample in samples {
            let mut packed = Vec::new();
            compress(&mut sample.as_slice(), &mut packed).unwrap();
            assert_eq!(unpacked(packed), sample, "{} bytes", sample.len());
        }
        let mut packed = Vec::new();
        compress(&mut line.as_bytes(), &mut packed).unwrap();
        assert!(packed.len() * 20 < line.len(), "{} of {}", packed.len(), line.len());
    }

    #[test]
    fn every_length_and_distance_has_its_code() {
        for length in 3..=258 {
            let (code, first, bits) = find(&LENGTHS, length);
            assert!(code < 29 && length >= first && length - first < 1 << bits, "{length}");
        }
        for distance in 1..=32_768 {
            let (code, first, bits) = find(&DISTANCES, distance);
            assert!(code < 30 && distance - first < 1 << bits, "{distance}");
        }
    }
}
