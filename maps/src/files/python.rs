//! Numbers and JSON in the spelling of Python, which wrote the files that we read and continue.

use std::fmt::Write;

use serde_json::Value;

/// A float as Python's `repr` prints it: the shortest digits that read back to the same number.
///
/// Pandas prints float64 cells the same way, except that a missing value is an empty cell.
///
/// ```
/// use maps::files::python_repr;
/// assert_eq!(python_repr(0.5), "0.5");
/// assert_eq!(python_repr(1.0), "1.0");
/// assert_eq!(python_repr(1e-5), "1e-05");
/// assert_eq!(python_repr(1e16), "1e+16");
/// ```
pub fn python_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = shortest(value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let Ok(places) = usize::try_from(exponent) else {
        return small(mantissa, exponent);
    };
    if places >= 16 {
        return format!("{mantissa}e+{places:02}");
    }
    let (sign, digits) = sign_and_digits(mantissa);
    let digits = format!("{digits:0<width$}", width = places + 2);
    let (whole, fraction) = digits.split_at(places + 1);
    format!("{sign}{whole}.{fraction}")
}

/// A number below 1.
fn small(mantissa: &str, exponent: i32) -> String {
    let places = exponent.unsigned_abs() as usize;
    if places > 4 {
        return format!("{mantissa}e-{places:02}");
    }
    let (sign, digits) = sign_and_digits(mantissa);
    format!("{sign}0.{}{digits}", "0".repeat(places - 1))
}

fn sign_and_digits(mantissa: &str) -> (&str, String) {
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    (sign, digits.replace('.', ""))
}

/// The shortest digits that read back, in scientific notation.
///
/// Of two that are equally near, which float32 numbers often have, Rust takes the greater and Python
/// the even one; rounding to the same number of digits gives the even one.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let n_digits = shortest.bytes().take_while(|&byte| byte != b'e');
    let n_digits = n_digits.filter(u8::is_ascii_digit).count();
    let rounded = format!("{value:.places$e}", places = n_digits - 1);
    match rounded.parse::<f64>() {
        Ok(parsed) if parsed.to_bits() == value.to_bits() => rounded,
        _ => shortest,
    }
}

/// JSON as `json.dumps(value, indent=4)` writes it: ASCII only, no newline at the end.
pub(crate) fn python_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, 0, &mut text);
    text
}

fn write_value(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => text.push_str(&python_repr(float)),
            _ => text.push_str(&number.to_string()),
        },
        Value::String(value) => write_string(value, text),
        Value::Array(items) => {
            let write_item = |item: &Value, text: &mut String| write_value(item, depth + 1, text);
            write_block(['[', ']'], depth, items, text, write_item);
        }
        Value::Object(fields) => {
            write_block(['{', '}'], depth, fields, text, |(key, value), text| {
                write_string(key, text);
                text.push_str(": ");
                write_value(value, depth + 1, text);
            });
        }
    }
}

fn write_block<T>(
    [open, close]: [char; 2],
    depth: usize,
    items: impl IntoIterator<Item = T>,
    text: &mut String,
    write_item: impl Fn(T, &mut String),
) {
    text.push(open);
    let mut is_empty = true;
    for item in items {
        text.push_str(if is_empty { "\n" } else { ",\n" });
        is_empty = false;
        text.push_str(&"    ".repeat(depth + 1));
        write_item(item, text);
    }
    if !is_empty {
        text.push('\n');
        text.push_str(&"    ".repeat(depth));
    }
    text.push(close);
}

fn write_string(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}
