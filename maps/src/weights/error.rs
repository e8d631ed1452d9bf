//! What can be wrong with a weights file.

/// Why bytes are not weights that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The bytes are no zip archive at all.
    #[error("not a PyTorch zip archive")]
    NotAnArchive,
    /// An archive without code.
    #[error("holds tensors or something else, but no module of TorchScript")]
    NotAModule,
    /// The code of a module does something that is not done here.
    #[error(
        "the code of the module, `{entry}`, uses `{what}`: only computation is allowed in modules"
    )]
    Code {
        /// Name of the entry.
        entry: String,
        /// What is used.
        what: String,
    },
    /// The zip structure is damaged.
    #[error("damaged zip archive: {0}")]
    Archive(String),
    /// Two entries share a name or bytes, which no writer does and bombs do.
    #[error("entries of the archive overlap or share a name")]
    OverlappingEntries,
    /// The archive does not hold exactly one pickle.
    #[error("expected one entry `<root>/data.pkl`, got {0}")]
    Pickles(usize),
    /// An entry that the pickle refers to is missing.
    #[error("entry `{0}` is missing from the archive")]
    MissingEntry(String),
    /// PyTorch stores entries; a compressed one could expand without bound.
    #[error("entry `{0}` is compressed or encrypted, expected stored bytes")]
    NotStored(String),
    /// The pickle is larger than any state dict's.
    #[error("entry `{entry}` has {size_bytes} bytes, expected at most {limit_bytes}")]
    EntryTooLarge {
        /// Name of the entry.
        entry: String,
        /// Its size.
        size_bytes: u64,
        /// The largest size accepted.
        limit_bytes: u64,
    },
    /// The bytes of an entry do not match its checksum or end early.
    #[error("entry `{entry}` is damaged: {reason}")]
    DamagedEntry {
        /// Name of the entry.
        entry: String,
        /// What the archive reader says.
        reason: String,
    },
    /// Written on a machine of another byte order.
    #[error("byte order is `{0}`, expected `little`")]
    ByteOrder(String),
    /// The pickle ends in the middle of an instruction or without a stop.
    #[error("pickle ends early, at byte {0}")]
    PickleTruncated(usize),
    /// A pickle protocol other than 2.
    #[error("pickle protocol is {0}, expected 2")]
    Protocol(u8),
    /// An instruction that state dicts do not need.
    #[error("pickle instruction 0x{opcode:02x} at byte {offset} is not allowed in weights")]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Where it is.
        offset: usize,
    },
    /// The pickle refers to code that is not on the list of harmless constructors.
    #[error("pickle refers to `{0}`, which is not allowed in weights")]
    Global(String),
    /// An instruction whose operands are not what it needs.
    #[error("pickle is malformed at byte {offset}: expected {expected}")]
    Malformed {
        /// Where the instruction ends.
        offset: usize,
        /// What it needs.
        expected: &'static str,
    },
    /// A storage whose bytes are not as many as the pickle declares.
    #[error("storage `{key}` has {got} bytes, expected {expected}")]
    StorageSize {
        /// Key of the storage.
        key: String,
        /// Declared elements times element size.
        expected: u128,
        /// Size of the entry.
        got: usize,
    },
    /// A tensor that reaches beyond its storage.
    #[error("tensor of shape {shape:?} reaches beyond its storage `{key}`")]
    ViewBeyondStorage {
        /// Key of the storage.
        key: String,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },
    /// Views that would take far more memory than the file.
    #[error("tensors of this file would take more than {limit_bytes} bytes of memory")]
    TooLarge {
        /// The limit, which grows with the size of the file.
        limit_bytes: u64,
    },
    /// Something else where a dict, a tensor or a number is needed.
    #[error("{what} is {got}, expected {expected}")]
    Content {
        /// Which part of the file.
        what: String,
        /// What is needed.
        expected: &'static str,
        /// What is there.
        got: &'static str,
    },
    /// Elements that do not fill their shape.
    #[error("shape {shape:?} does not hold {n_elements} elements")]
    Shape {
        /// The shape.
        shape: Vec<usize>,
        /// The number of elements given.
        n_elements: usize,
    },
    /// A damaged safetensors file.
    #[error("damaged safetensors file: {0}")]
    Safetensors(String),
    /// An element type of safetensors that PyTorch state dicts of networks do not have.
    #[error("tensor `{name}` has element type `{dtype}`, which is not supported")]
    SafetensorsType {
        /// Name of the tensor.
        name: String,
        /// Its element type.
        dtype: String,
    },
}

impl WeightsError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotAnArchive => vec![
                "files written by PyTorch before 1.6, or with `_use_new_zipfile_serialization=False`, \
                 have to be loaded and saved again with a recent PyTorch"
                    .to_owned(),
            ],
            Self::NotAModule => vec![
                "write one in Python: `torch.jit.script(network).save(\"network.pt\")`".to_owned(),
            ],
            Self::Global(_) | Self::Opcode { .. } | Self::Protocol(_) => vec![
                "only state dicts are read, nothing in a pickle is executed: save the network's \
                 `state_dict()` instead of the network"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}
