//! Seeded mutations: bits, bytes, numbers, pieces moved, doubled and cut, two inputs spliced.

use crate::rng::Random;

/// The longest input.
pub(crate) const INPUT_BYTES_MAX: usize = 32 * 1024;

/// Numbers that lengths and counts go wrong at.
const NUMBERS: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 48, i64::MAX.cast_unsigned(), u64::MAX];

fn size(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}

/// A place, near the start as often as anywhere: headers stand there.
fn place(random: &mut Random, length: usize) -> usize {
    let bound = if random.below(2) == 0 { length.min(64) } else { length };
    size(random, bound.max(1))
}

/// `input` with up to four changes; `other` lends pieces.
pub(crate) fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.below(5) {
        let at = place(random, bytes.len());
        let length = 1 + size(random, 64);
        match random.below(9) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next().to_le_bytes()[0]),
            3 => {
                let number = NUMBERS[size(random, NUMBERS.len())];
                let number = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                bytes.iter_mut().skip(at).zip(number).take(1 << random.below(4)).for_each(|(byte, new)| *byte = new);
            }
            4 => bytes.iter_mut().skip(at).take(length).for_each(|byte| *byte = 0),
            5 => bytes.truncate(at),
            6 => drop(bytes.splice(at.min(bytes.len())..(at + length).min(bytes.len()), [])),
            7 => {
                let piece: Vec<u8> = bytes.iter().skip(place(random, bytes.len())).take(length).copied().collect();
                drop(bytes.splice(at.min(bytes.len())..at.min(bytes.len()), piece));
            }
            _ => {
                let from = place(random, other.len());
                bytes.truncate(at);
                bytes.extend(other.iter().skip(from));
            }
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}
