//! Types in casts and typed literals: the engine's own scalar types, arrays of them, and enumerations that a visible
//! column has. A cast to a catalog type (`regclass`) or a table's row type is a question to the catalog.

use sqlparser::ast::{ArrayElemTypeDef, DataType};

use super::dialect::contains;
use super::violation::ViolationCode;
use super::walk::{Walker, spelled};

/// `char(10000000)` pads every value to ten megabytes.
const MAX_TYPE_LENGTH: u64 = 10_000;

impl<'a> Walker<'a> {
    pub(super) fn data_type(&mut self, data_type: &'a DataType) {
        let text = data_type.to_string();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u64>().ok());
        if numbers.any(|number| number > MAX_TYPE_LENGTH) {
            self.refuse(ViolationCode::TooComplex, format!("The length in `{text}` is above {MAX_TYPE_LENGTH}."));
        }
        match data_type {
            DataType::Bool
            | DataType::Boolean
            | DataType::TinyInt(_)
            | DataType::SmallInt(_)
            | DataType::Int2(_)
            | DataType::MediumInt(_)
            | DataType::Int(_)
            | DataType::Int4(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Int8(_)
            | DataType::Numeric(_)
            | DataType::Decimal(_)
            | DataType::Dec(_)
            | DataType::Float(_)
            | DataType::Float4
            | DataType::Float8
            | DataType::Real
            | DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Text
            | DataType::Char(_)
            | DataType::Character(_)
            | DataType::Varchar(_)
            | DataType::CharVarying(_)
            | DataType::CharacterVarying(_)
            | DataType::Nvarchar(_)
            | DataType::Clob(_)
            | DataType::Blob(_)
            | DataType::Bytea
            | DataType::Uuid
            | DataType::Date
            | DataType::Datetime(_)
            | DataType::Time(_, _)
            | DataType::Timestamp(_, _)
            | DataType::Interval { fields: _, precision: _ }
            | DataType::JSON
            | DataType::JSONB
            | DataType::Bit(_)
            | DataType::BitVarying(_)
            | DataType::VarBit(_)
            | DataType::TsVector
            | DataType::TsQuery
            | DataType::Signed
            | DataType::SignedInteger
            | DataType::Unsigned
            | DataType::UnsignedInteger
            | DataType::Binary(_)
            | DataType::Varbinary(_) => {}
            DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) if self.dialect.arrays => {
                self.data_type(element)
            }
            DataType::Custom(name, modifiers) => {
                let Some(parts) = self.plain_parts(name) else { return };
                parts.iter().for_each(|part| self.name(part));
                let built_in = matches!(parts.as_slice(), [ident] if contains(&self.dialect.types, &ident.value));
                let folded: Vec<_> = parts.iter().map(|part| self.dialect.fold(part)).collect();
                let enumeration = modifiers.is_empty() && self.is_enumeration(&folded.join("."));
                if !built_in && !enumeration {
                    self.type_not_allowed(&spelled(&parts));
                }
            }
            other => self.type_not_allowed(&other.to_string()),
        }
    }

    /// Whether a visible column has this type, and it is an enumeration.
    fn is_enumeration(&self, name: &str) -> bool {
        let mut columns = self.schema.visible_tables().flat_map(|table| table.visible_columns());
        columns.any(|column| column.enumeration && column.data_type == name)
    }

    fn type_not_allowed(&mut self, name: &str) {
        self.refuse(ViolationCode::TypeNotAllowed, format!("The type `{name}` is not allowed; cast to a plain type."));
    }
}
