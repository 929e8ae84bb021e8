//! Gives back what an idle shim does not need.
#![allow(unsafe_code)] // madvise

use std::fs;

use nix::libc;

/// Drops this program's own code and constants from its memory. They are the pages of a file that
/// never change; what is needed again is mapped again at the next touch. Creating a container goes
/// through most of the program, waiting for its end through little.
pub(crate) fn give_back() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, end) in code_and_constants(&maps) {
        // SAFETY: these are file mappings that nobody ever wrote to, so what comes back when they
        // are touched is what is there now; the code that runs here is among them.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The mappings of the program's file up to its code, the code included. Those behind it may hold
/// data that was settled at the start and then made read-only: they stay.
fn code_and_constants(maps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut program = None;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(access), Some(inode)) = (words.next(), words.next(), words.nth(2))
        else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) =
            (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        else {
            continue;
        };
        if inode != *program.get_or_insert(inode) || !access.starts_with("r-") {
            break;
        }
        found.push((start, end));
        if access.starts_with("r-x") {
            return found;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_changes_is_given_back() {
        let maps = "00200000-00300000 r--p 00000000 fe:00 77 /bin/shim\n\
                    00300000-00500000 r-xp 000ff000 fe:00 77 /bin/shim\n\
                    00500000-00520000 r--p 002fe000 fe:00 77 /bin/shim\n\
                    00520000-00530000 rw-p 0031e000 fe:00 77 /bin/shim\n";
        assert_eq!(code_and_constants(maps), [(0x20_0000, 0x30_0000), (0x30_0000, 0x50_0000)]);
        let odd = "00200000-00300000 rw-p 00000000 fe:00 77 /bin/shim\n\
                   00300000-00500000 r-xp 000ff000 fe:00 77 /bin/shim\n";
        assert_eq!(code_and_constants(odd), []);
        assert_eq!(code_and_constants(""), []);
    }
}
