//! The stream of `COPY ... (FORMAT BINARY)` is cut into fields.
//!
//! A header, then for each row the number of fields (16 bits) and for each field its length (32 bits, -1 is NULL) and its bytes; at the
//! end the number -1. The server sends a message a row, but nothing here relies on it.

/// What the stream begins with; two words of 32 bits follow: flags, and the length of what may stand behind them.
pub(crate) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
const HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// A field: where its bytes lie in [`RowCutter::bytes`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    start: u32,
    /// [`Field::NULL`] for NULL.
    length: u32,
}

impl Field {
    const NULL: u32 = u32::MAX;

    /// Bytes of the field, `None` for NULL.
    pub fn of<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if self.length == Self::NULL {
            return None;
        }
        // Cut out of these very bytes by the one who made the field.
        Some(&bytes[self.start as usize..self.start as usize + self.length as usize])
    }

    /// A field at a place.
    pub fn at(start: usize, length: Option<usize>) -> Self {
        // A batch is handed over long before 4 GiB; a single row of Postgres has less than 1 GiB.
        let cut = |number: usize| u32::try_from(number).unwrap_or(Self::NULL);
        Self { start: cut(start), length: length.map_or(Self::NULL, cut) }
    }
}

/// The stream is not what the protocol promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Collects messages and cuts them into fields, column by column.
#[derive(Debug)]
pub struct RowCutter {
    bytes: Vec<u8>,
    /// Up to here rows are cut.
    cut: usize,
    columns: Vec<Vec<Field>>,
    rows: usize,
    has_header: bool,
    is_ended: bool,
}

impl RowCutter {
    /// For rows of so many columns.
    pub fn new(columns: usize) -> Self {
        Self {
            bytes: Vec::new(),
            cut: 0,
            columns: vec![Vec::new(); columns],
            rows: 0,
            has_header: false,
            is_ended: false,
        }
    }

    /// Complete rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of them.
    pub fn size(&self) -> usize {
        self.cut
    }

    /// Whether the end was seen, and nothing is left behind it.
    pub fn is_complete(&self) -> bool {
        self.is_ended && self.cut == self.bytes.len()
    }

    /// The fields of a column.
    pub fn fields(&self, column: usize) -> &[Field] {
        &self.columns[column]
    }

    /// The bytes that fields lie in.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the rows, keeping what follows them.
    pub fn clear(&mut self) {
        self.bytes.drain(..self.cut);
        self.cut = 0;
        self.rows = 0;
        self.columns.iter_mut().for_each(Vec::clear);
        // After a row of hundreds of megabytes its room is given back.
        const KEPT: usize = 16 << 20;
        if self.bytes.capacity() > KEPT && self.bytes.len() < KEPT {
            self.bytes.shrink_to(KEPT);
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Malformed> {
        self.bytes.extend_from_slice(message);
        if !self.has_header && !self.cut_header()? {
            return Ok(());
        }
        while !self.is_ended && self.cut_row()? {}
        if self.is_ended && self.cut < self.bytes.len() {
            return Err(Malformed("something follows the end of the rows"));
        }
        Ok(())
    }

    fn cut_header(&mut self) -> Result<bool, Malformed> {
        let Some(header) = self.bytes.get(..HEADER_BYTES) else { return Ok(false) };
        if header[..SIGNATURE.len()] != SIGNATURE[..] {
            return Err(Malformed("the rows do not begin with the signature of the binary form"));
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        // The upper half are flags that change the meaning of what follows.
        if word(SIGNATURE.len()) >> 16 != 0 {
            return Err(Malformed("the rows are in a form that is not known"));
        }
        let extension = word(SIGNATURE.len() + 4) as usize;
        if self.bytes.len() < HEADER_BYTES + extension {
            return Ok(false);
        }
        self.cut = HEADER_BYTES + extension;
        self.has_header = true;
        Ok(true)
    }

    /// Cuts one row; `false` when it is not there as a whole.
    fn cut_row(&mut self) -> Result<bool, Malformed> {
        let Some(&[high, low]) = self.bytes.get(self.cut..self.cut + 2) else { return Ok(false) };
        let count = i16::from_be_bytes([high, low]);
        let mut at = self.cut + 2;
        if count == -1 {
            self.is_ended = true;
            self.cut = at;
            return Ok(true);
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            return Err(Malformed("a row has another number of fields than was selected"));
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            let field = match self.bytes.get(at..at + 4) {
                None => None,
                Some(length) => {
                    at += 4;
                    match i32::from_be_bytes([length[0], length[1], length[2], length[3]]) {
                        -1 => Some(Field::at(at, None)),
                        length => {
                            let length =
                                usize::try_from(length).map_err(|_| Malformed("a field has a length below zero"))?;
                            let start = at;
                            at += length;
                            (at <= self.bytes.len()).then(|| Field::at(start, Some(length)))
                        }
                    }
                }
            };
            match field {
                Some(field) => column.push(field),
                None => {
                    // The row is cut again from its start when the rest of it is there.
                    let rows = self.rows;
                    self.columns[..index].iter_mut().for_each(|column| column.truncate(rows));
                    return Ok(false);
                }
            }
        }
        self.cut = at;
        self.rows += 1;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
        let mut stream = SIGNATURE.to_vec();
        stream.extend([0; 8]);
        for row in rows {
            stream.extend(i16::try_from(row.len()).expect("few").to_be_bytes());
            for field in row {
                match field {
                    None => stream.extend((-1i32).to_be_bytes()),
                    Some(bytes) => {
                        stream.extend(i32::try_from(bytes.len()).expect("short").to_be_bytes());
                        stream.extend(bytes);
                    }
                }
            }
        }
        stream.extend((-1i16).to_be_bytes());
        stream
    }

    fn rows(cutter: &RowCutter, columns: usize) -> Vec<Vec<Option<Vec<u8>>>> {
        let field = |row: usize, column: usize| cutter.fields(column)[row].of(cutter.bytes()).map(<[u8]>::to_vec);
        (0..cutter.rows()).map(|row| (0..columns).map(|column| field(row, column)).collect()).collect()
    }

    proptest! {
        #[test]
        fn rows_survive_however_the_stream_is_cut(
            (columns, expected) in (1usize..5).prop_flat_map(|columns| {
                let field = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6));
                (Just(columns), proptest::collection::vec(proptest::collection::vec(field, columns), 0..6))
            }),
            sizes in proptest::collection::vec(1usize..40, 1..50),
            clear_every in 1usize..4,
        ) {
            let stream = stream(&expected);
            let (mut cutter, mut got, mut left, mut turn) = (RowCutter::new(columns), Vec::new(), &stream[..], 0);
            while !left.is_empty() {
                let (message, rest) = left.split_at(sizes[turn % sizes.len()].min(left.len()));
                cutter.push(message).expect("a good stream");
                if turn % clear_every == 0 {
                    got.extend(rows(&cutter, columns));
                    cutter.clear();
                }
                (left, turn) = (rest, turn + 1);
            }
            got.extend(rows(&cutter, columns));
            prop_assert!(cutter.is_complete());
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60), is_headed: bool) {
            let mut cutter = RowCutter::new(2);
            if is_headed {
                let mut header = SIGNATURE.to_vec();
                header.extend([0; 8]);
                cutter.push(&header).expect("a header");
            }
            let _ = cutter.push(&bytes);
        }
    }
}
