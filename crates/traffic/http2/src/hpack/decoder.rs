//! Reads lists of headers (RFC 7541, 3.2 and 6).

use super::fields::Fields;
use super::huffman;
use super::integer::{self, Endless};
use super::table::Table;

/// A block that is no list of headers: the tables of both sides may differ from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

impl From<Endless> for Undecodable {
    fn from(_: Endless) -> Self {
        Self
    }
}

impl From<huffman::Unreadable> for Undecodable {
    fn from(_: huffman::Unreadable) -> Self {
        Self
    }
}

/// Reads what one side of a connection sends, one block after the other.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table,
    /// What the other side may let the table grow to.
    size_max: usize,
    /// For texts that nobody wants.
    waste: Vec<u8>,
}

impl Decoder {
    /// One whose table may grow to so many bytes: the setting that the other side was told.
    pub fn new(size_max: usize) -> Self {
        Self { table: Table::new(size_max), size_max, waste: Vec::new() }
    }

    /// Reads a whole block. Fields that do not fit are read, and not kept.
    ///
    /// # Errors
    /// [`Undecodable`]; nothing may be read any more then.
    pub fn decode(&mut self, mut block: &[u8], fields: &mut Fields) -> Result<(), Undecodable> {
        let mut may_resize = true;
        while let Some(first) = block.first() {
            let is_resize = first & 0xe0 == 0x20;
            let read = match first {
                0x80.. => self.indexed(block, fields)?,
                _ if is_resize && may_resize => self.resize(block)?,
                // Before all fields alone (RFC 7541, 4.2).
                _ if is_resize => return Err(Undecodable),
                _ => self.literal(block, fields)?,
            };
            may_resize = is_resize;
            block = &block[read..];
        }
        Ok(())
    }

    /// A field of a table.
    fn indexed(&self, block: &[u8], fields: &mut Fields) -> Result<usize, Undecodable> {
        let (number, read) = integer::read(block, 7)?;
        let (name, value) = self.table.get(number).ok_or(Undecodable)?;
        if fields.fits(name.len() + value.len()) {
            let text = fields.text();
            text.extend_from_slice(name);
            let name_end = text.len();
            text.extend_from_slice(value);
            fields.push(name_end);
        }
        Ok(read)
    }

    fn resize(&mut self, block: &[u8]) -> Result<usize, Undecodable> {
        let (size, read) = integer::read(block, 5)?;
        if size > self.size_max {
            return Err(Undecodable);
        }
        self.table.resize(size);
        Ok(read)
    }

    /// A field whose value, and maybe name, is written out. With the mark of 01 it is kept.
    fn literal(&mut self, block: &[u8], fields: &mut Fields) -> Result<usize, Undecodable> {
        let is_kept = block[0] & 0x40 != 0;
        let bits = if is_kept { 6 } else { 4 };
        let (number, mut read) = integer::read(block, bits)?;
        let begin = fields.end();
        // Of a list that is too long nothing is kept: only the table is to stay as the other side's.
        let mut waste = std::mem::take(&mut self.waste);
        waste.clear();
        let is_over = fields.is_over();
        let text = if is_over { &mut waste } else { fields.text() };
        let from = text.len();
        debug_assert!(is_over || from == begin, "nothing stands behind the last field");
        match number {
            0 => read += string(&block[read..], text)?,
            _ => text.extend_from_slice(self.table.get(number).ok_or(Undecodable)?.0),
        }
        let name_end = text.len();
        read += string(&block[read..], text)?;
        let field = &text[from..];
        if is_kept {
            self.table.insert(field, name_end - from);
        }
        let length = field.len();
        if !fields.fits(length) {
            if !is_over {
                fields.text().truncate(from);
            }
        } else {
            fields.push(name_end);
        }
        self.waste = waste;
        Ok(read)
    }
}

/// Writes a text behind what there is; gives how many bytes it took.
fn string(bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Undecodable> {
    let (length, read) = integer::read(bytes, 7)?;
    let text = bytes.get(read..read + length).ok_or(Undecodable)?;
    match bytes[0] & 0x80 {
        0 => out.extend_from_slice(text),
        _ => huffman::decode(text, out)?,
    }
    Ok(read + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Block;

    const LIMIT: usize = 64 * 1024;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        let pair = |pair: &[u8]| {
            u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits")
        };
        digits.chunks(2).map(pair).collect()
    }

    fn list(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Undecodable> {
        let mut fields = Fields::new(LIMIT);
        decoder.decode(block, &mut fields)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(fields.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn check(size: usize, blocks: &[(&str, &[(&str, &str)])]) {
        let mut decoder = Decoder::new(size);
        for (hex, expected) in blocks {
            let got = list(&mut decoder, &bytes(hex)).expect("a list");
            let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(&got, expected, "{hex}");
        }
    }

    #[test]
    fn requests_are_those_of_the_appendix() {
        // RFC 7541, C.2.
        check(
            4096,
            &[(
                "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
                &[("custom-key", "custom-header")],
            )],
        );
        check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")])]);
        check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")])]);
        check(4096, &[("82", &[(":method", "GET")])]);
        let get = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
        let host = (":authority", "www.example.com");
        let first = [get[0], get[1], get[2], host];
        let second = [get[0], get[1], get[2], host, ("cache-control", "no-cache")];
        let third = [
            get[0],
            (":scheme", "https"),
            (":path", "/index.html"),
            host,
            ("custom-key", "custom-value"),
        ];
        // C.3, and the same with Huffman's code, C.4.
        check(
            4096,
            &[
                ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", &first),
                ("8286 84be 5808 6e6f 2d63 6163 6865", &second),
                (
                    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                    &third,
                ),
            ],
        );
        check(
            4096,
            &[
                ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", &first),
                ("8286 84be 5886 a8eb 1064 9cbf", &second),
                ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", &third),
            ],
        );
    }

    #[test]
    fn answers_are_those_of_the_appendix() {
        let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
        let place = ("location", "https://www.example.com");
        let private = ("cache-control", "private");
        let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        let first = [(":status", "302"), private, date, place];
        let second = [(":status", "307"), private, date, place];
        let third = [
            (":status", "200"),
            private,
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            place,
            ("content-encoding", "gzip"),
            ("set-cookie", cookie),
        ];
        // C.5, with a table of 256 bytes from which entries fall.
        check(
            256,
            &[
                (
                    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
                 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
                 6c65 2e63 6f6d",
                    &first,
                ),
                ("4803 3330 37c1 c0bf", &second),
                (
                    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
                 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
                 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
                 3d31",
                    &third,
                ),
            ],
        );
        // C.6.
        check(
            256,
            &[
                (
                    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
                 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                    &first,
                ),
                ("4883 640e ffc1 c0bf", &second),
                (
                    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
                 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
                 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                    &third,
                ),
            ],
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [
            // Numbers of no field: none, beyond the static table, of a name; an endless one.
            "80",
            "be",
            "7f 00 01 61",
            "ff ff ff ff ff ff 7f",
            // Texts that end early, or are no code.
            "00",
            "00 01",
            "00 03 61 62",
            "00 01 61 02 62",
            "00 81 00 00",
            // A size update beyond what was allowed, behind a field, without its end.
            "3f e2 1f",
            "82 20",
            "3f",
        ] {
            let mut decoder = Decoder::new(4096);
            assert_eq!(list(&mut decoder, &bytes(wrong)), Err(Undecodable), "{wrong}");
        }
        // As large as it may be, and twice.
        let mut decoder = Decoder::new(4096);
        assert_eq!(list(&mut decoder, &bytes("20 3f e1 1f 82")).map(|list| list.len()), Ok(1));
    }

    #[test]
    fn a_smaller_table_forgets() {
        let mut decoder = Decoder::new(4096);
        list(&mut decoder, &bytes("40 01 61 01 62")).expect("a list");
        assert_eq!(list(&mut decoder, &bytes("be")).map(|list| list.len()), Ok(1));
        assert_eq!(list(&mut decoder, &bytes("20 be")), Err(Undecodable));
    }

    #[test]
    fn a_bomb_is_not_kept() {
        // An entry as large as the table takes, told again and again.
        let mut block = vec![0x40, 1, b'a'];
        crate::hpack::integer::write(&mut block, 0, 7, 4000);
        block.extend(std::iter::repeat_n(b'x', 4000));
        block.extend(std::iter::repeat_n(0xbe, 60_000));
        let mut fields = Fields::new(LIMIT);
        let mut decoder = Decoder::new(4096);
        decoder.decode(&block, &mut fields).expect("a list");
        assert!(fields.is_over());
        let kept: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(kept <= LIMIT && fields.text().capacity() <= 4 * LIMIT, "{kept}");
        // What comes behind it is still known to the table.
        let mut behind = block;
        behind.extend([0x40, 1, b'c', 1, b'd']);
        decoder.decode(&behind, &mut fields).expect("a list");
        assert_eq!(list(&mut decoder, &[0xbe]), Ok(vec![("c".to_owned(), "d".to_owned())]));
    }

    fn field() -> impl Strategy<Value = (String, String)> {
        let name = prop_oneof![
            Just("content-type".to_owned()),
            Just(":path".to_owned()),
            Just("x-a".to_owned()),
            "[a-z-]{1,40}",
        ];
        (name, "[ -~]{0,40}")
    }

    /// A field as some client might send it: kept or not, its name by number or not, in Huffman's code or not.
    fn packed((name, value): &(String, String), kind: u8, is_short: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let (mark, bits) = [(0x40, 6), (0x00, 4), (0x10, 4)][usize::from(kind % 3)];
        let known = crate::hpack::table::STATIC.iter().position(|(known, _)| known == name);
        let number = known.filter(|_| kind >= 3).map_or(0, |at| at + 1);
        integer::write(&mut out, mark, bits, number);
        let texts = if number == 0 { vec![name, value] } else { vec![value] };
        for text in texts {
            let (mark, code) = match is_short {
                true => (0x80, huffman::encode(text.as_bytes())),
                false => (0, text.clone().into_bytes()),
            };
            integer::write(&mut out, mark, 7, code.len());
            out.extend(code);
        }
        out
    }

    proptest! {
        #[test]
        fn what_clients_pack_is_read(
            lists in prop::collection::vec(
                prop::collection::vec((field(), 0_u8..6, any::<bool>()), 0..8), 1..8,
            ),
            size in 0_usize..400,
        ) {
            let mut decoder = Decoder::new(size);
            for one in lists {
                let block: Vec<u8> =
                    one.iter().flat_map(|(field, kind, short)| packed(field, *kind, *short)).collect();
                let wanted: Vec<_> = one.into_iter().map(|(field, ..)| field).collect();
                prop_assert_eq!(list(&mut decoder, &block), Ok(wanted));
            }
        }

        #[test]
        fn any_bytes_end(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)) {
            let mut decoder = Decoder::new(100);
            for block in blocks {
                let mut fields = Fields::new(80);
                if decoder.decode(&block, &mut fields).is_err() {
                    break;
                }
                let kept: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
                prop_assert!(kept <= 80);
            }
        }

        #[test]
        fn what_is_packed_here_is_read(all in prop::collection::vec(field(), 0..8), status in 100_u16..1000) {
            let mut out = Vec::new();
            let mut block = Block::new(&mut out);
            block.status(status);
            for (name, value) in &all {
                block.field(name.as_bytes(), value.as_bytes());
            }
            let mut wanted = vec![(":status".to_owned(), status.to_string())];
            wanted.extend(all);
            prop_assert_eq!(list(&mut Decoder::new(0), &out), Ok(wanted));
        }
    }
}
