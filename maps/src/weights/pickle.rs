//! A pickle machine that can only build data.
//!
//! It knows the part of protocol 2 that `torch.save` uses for dicts, lists, numbers, strings and
//! tensors. Four names can be called, and none of them runs code: `OrderedDict`, the two tensor
//! constructors and references to storages. Everything else is an error that names it.
//!
//! Values live in one arena and refer to each other by index, so a value that contains itself costs
//! nothing; nothing here recurses. Each instruction adds at most one value and copies none, so that
//! memory grows with the length of the pickle only.

use std::collections::BTreeMap;

use super::WeightsError;
use super::array::Dtype;
use super::value::{Callable, Document, Id, Value, read_reference, rebuild_tensor};

/// Runs the pickle.
pub(super) fn parse(bytes: &[u8]) -> Result<Document, WeightsError> {
    let mut machine = Machine {
        bytes,
        position: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
    };
    let root = loop {
        if let Some(root) = machine.step()? {
            break root;
        }
    };
    Ok(Document {
        values: machine.values,
        root,
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl Machine<'_> {
    /// Executes one instruction; the root when it is the stop.
    fn step(&mut self) -> Result<Option<Id>, WeightsError> {
        let offset = self.position;
        let [opcode] = self.array()?;
        match opcode {
            0x80 => match self.array()? {
                [2] => {}
                [version] => return Err(WeightsError::Protocol(version)),
            },
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'K' => {
                let [byte] = self.array()?;
                self.push(Value::Int(byte.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.array::<8>()?;
                self.push(Value::Float);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length as usize)?;
            }
            b'U' => {
                let [length] = self.array()?;
                self.text(length.into())?;
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let [index] = self.array()?;
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?);
                self.remember(index)?;
            }
            b'h' => {
                let [index] = self.array()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index)?;
            }
            b'c' => self.global()?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            _ => return Err(WeightsError::Opcode { opcode, offset }),
        }
        Ok(None)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        let bytes = self.bytes.get(self.position..).unwrap_or_default();
        let (&head, _) = bytes
            .split_first_chunk::<N>()
            .ok_or(WeightsError::PickleTruncated(self.bytes.len()))?;
        self.position += N;
        Ok(head)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn malformed(&self, expected: &'static str) -> WeightsError {
        WeightsError::Malformed {
            offset: self.position,
            expected,
        }
    }

    fn pop(&mut self) -> Result<Id, WeightsError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.malformed("a value on the stack"));
        }
        Ok(self.stack.pop().expect("the stack is above its floor"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, WeightsError> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| self.malformed("a mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    /// The value on top, which the next instruction changes in place.
    fn top(&mut self) -> Result<Id, WeightsError> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    fn append(&mut self, mut items: Vec<Id>) -> Result<(), WeightsError> {
        let target = self.top()?;
        match &mut self.values[target] {
            Value::List(list) => list.append(&mut items),
            _ => return Err(self.malformed("a list to append to")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), WeightsError> {
        let target = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.values[target] {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err(self.malformed("a dict and pairs of key and value")),
        }
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), WeightsError> {
        let id = self.top()?;
        self.memo.insert(index, id);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), WeightsError> {
        let id = self.memo.get(&index).copied();
        let id = id.ok_or_else(|| self.malformed("a remembered value"))?;
        self.stack.push(id);
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), WeightsError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let bytes = rest
            .get(..length)
            .ok_or(WeightsError::PickleTruncated(self.bytes.len()))?;
        self.position += length;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("UTF-8 text"))?;
        self.push(Value::Text(text.to_owned()));
        Ok(())
    }

    fn long(&mut self) -> Result<(), WeightsError> {
        let [length] = self.array()?;
        let length = usize::from(length);
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let bytes = rest
            .get(..length)
            .ok_or(WeightsError::PickleTruncated(self.bytes.len()))?;
        self.position += length;
        if length > 8 {
            return Err(self.malformed("an integer of at most 64 bits"));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut full = [if negative { 0xff } else { 0 }; 8];
        full[..length].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(full)));
        Ok(())
    }

    fn line(&mut self) -> Result<&str, WeightsError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or(WeightsError::PickleTruncated(self.bytes.len()))?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| self.malformed("UTF-8 text"))
    }

    fn global(&mut self) -> Result<(), WeightsError> {
        let module = self.line()?.to_owned();
        let name = self.line()?;
        let callable = match (module.as_str(), name) {
            ("collections", "OrderedDict") => Some(Callable::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Callable::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Callable::RebuildParameter),
            ("torch", name) => Dtype::from_storage(name).map(Callable::StorageType),
            _ => None,
        };
        let callable = callable.ok_or_else(|| WeightsError::Global(format!("{module}.{name}")))?;
        self.push(Value::Callable(callable));
        Ok(())
    }

    /// Resolves a persistent identifier: the tuple that stands for a storage.
    fn storage(&mut self) -> Result<(), WeightsError> {
        let id = self.pop()?;
        let storage = read_reference(&self.values, id);
        let storage = storage.ok_or_else(|| self.malformed("a reference to a storage"))?;
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// Calls one of the four harmless names.
    fn call(&mut self) -> Result<(), WeightsError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Callable(function) = self.values[function] else {
            return Err(self.malformed("a function to call"));
        };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err(self.malformed("a tuple of arguments"));
        };
        match function {
            Callable::OrderedDict if arguments.is_empty() => {
                self.push(Value::Dict(Vec::new()));
                Ok(())
            }
            Callable::OrderedDict => Err(self.malformed("no arguments of `OrderedDict`")),
            Callable::RebuildTensor => {
                let tensor = rebuild_tensor(&self.values, arguments)
                    .ok_or_else(|| self.malformed("arguments of `_rebuild_tensor_v2`"))?;
                self.push(Value::Tensor(tensor));
                Ok(())
            }
            Callable::RebuildParameter => match *arguments.as_slice() {
                [tensor, _, _] if matches!(self.values[tensor], Value::Tensor(_)) => {
                    self.stack.push(tensor);
                    Ok(())
                }
                _ => Err(self.malformed("arguments of `_rebuild_parameter`")),
            },
            Callable::StorageType(_) => Err(self.malformed("a function to call")),
        }
    }

    /// Gives an `OrderedDict` its attributes: a state dict's `_metadata`, of no use to us.
    fn build(&mut self) -> Result<(), WeightsError> {
        let state = self.pop()?;
        let target = self.top()?;
        match (&self.values[target], &self.values[state]) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            _ => Err(self.malformed("attributes of an `OrderedDict`")),
        }
    }
}
