//! Typed access to a TOML table that collects every fault with its line and column.
//!
//! Never guesses: a key that nobody asked for is a fault, with the nearest one that exists.

use std::cell::RefCell;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::app::fault::{Fault, did_you_mean};
use crate::domain::text::counted;

/// How many unknown keys of one table are told one by one.
const MOST_UNKNOWN: usize = 20;

/// Where faults are collected.
pub(super) struct Faults<'s> {
    source: &'s str,
    list: RefCell<Vec<Fault>>,
}

impl<'s> Faults<'s> {
    pub(super) fn new(source: &'s str) -> Faults<'s> {
        Faults { source, list: RefCell::new(Vec::new()) }
    }

    pub(super) fn add(&self, span: Range<usize>, message: &str, hint: &str) {
        self.list.borrow_mut().push(Fault::at(self.source, span.start, message, hint));
    }

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        Fault::at(self.source, span.start, "", "").line
    }

    pub(super) fn into_list(self) -> Vec<Fault> {
        let mut list = self.list.into_inner();
        list.sort();
        list
    }
}

/// One table, whose keys are asked for by name.
pub(super) struct Table<'t, 's> {
    table: &'t DeTable<'s>,
    span: Range<usize>,
    faults: &'t Faults<'s>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'t, 's> Table<'t, 's> {
    pub(super) fn new(table: &'t DeTable<'s>, span: Range<usize>, faults: &'t Faults<'s>) -> Table<'t, 's> {
        Table { table, span, faults, asked: RefCell::new(Vec::new()) }
    }

    pub(super) fn fault(&self, message: &str, hint: &str) {
        self.faults.add(self.span.clone(), message, hint);
    }

    pub(super) fn fault_at(&self, key: &str, message: &str, hint: &str) {
        let span = self.find(key).map_or(self.span.clone(), Spanned::span);
        self.faults.add(span, message, hint);
    }

    /// The line of a key, if the table has it.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.find(key).map(|value| self.faults.line(&value.span()))
    }

    pub(super) fn string(&self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => self.wrong_type(value, key, "a string in quotes", other),
        }
    }

    /// A string that was asked for before, as it was written; nothing is reported twice.
    pub(super) fn string_again(&self, key: &str) -> Option<String> {
        match self.find(key)?.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        }
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => self.wrong_type(value, key, "true or false", other),
        }
    }

    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            return self.wrong_type(value, key, "a list of strings: [\"a\", \"b\"]", value.get_ref());
        };
        let mut strings = Vec::new();
        for element in array {
            match element.get_ref() {
                DeValue::String(text) => strings.push(text.to_string()),
                other => return self.wrong_type(element, key, "a list of strings", other),
            }
        }
        Some(strings)
    }

    /// A string that must be understood further.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        hint: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.string(key)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(message) => {
                self.fault_at(key, &message, hint);
                None
            }
        }
    }

    pub(super) fn table(&self, key: &'static str) -> Option<Table<'t, 's>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(table, value.span(), self.faults)),
            other => self.wrong_type(value, key, &format!("a table: [{key}]"), other),
        }
    }

    pub(super) fn tables(&self, key: &'static str) -> Vec<Table<'t, 's>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            let _: Option<()> = self.wrong_type(value, key, &format!("a list of tables: [[{key}]]"), value.get_ref());
            return Vec::new();
        };
        let mut tables = Vec::new();
        for element in array {
            match element.get_ref() {
                DeValue::Table(table) => tables.push(Table::new(table, element.span(), self.faults)),
                other => {
                    let _: Option<()> = self.wrong_type(element, key, &format!("a list of tables: [[{key}]]"), other);
                }
            }
        }
        tables
    }

    /// Everything but the keys that were asked for, as JSON: what a provider alone understands.
    pub(super) fn rest(&self) -> Map<String, Value> {
        let asked = self.asked.borrow();
        let rest = self.table.iter().filter(|(key, _)| !asked.iter().any(|known| key.get_ref() == known));
        rest.map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
    }

    /// Reports every key that was never asked for.
    pub(super) fn refuse_unknown(&self) {
        let asked = self.asked.borrow();
        let unknown = self.table.iter().filter(|(key, _)| !asked.iter().any(|known| key.get_ref() == known));
        let mut unknown = unknown.map(|(key, _)| key);
        for key in unknown.by_ref().take(MOST_UNKNOWN) {
            let name = key.get_ref();
            let known = format!("known keys here: {}", asked.join(", "));
            let hint = did_you_mean(name, asked.iter().copied(), &known);
            self.faults.add(key.span(), &format!("`{name}` is not known"), &hint);
        }
        // A file of another program; where each of its keys stands helps nobody.
        if let Some(next) = unknown.next() {
            let message = format!("{} are not known either", counted(1 + unknown.count(), "key"));
            self.faults.add(next.span(), &message, "is this a configuration of rolldeck?");
        }
    }

    fn find(&self, key: &str) -> Option<&'t Spanned<DeValue<'s>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'s>>> {
        self.asked.borrow_mut().push(key);
        self.find(key)
    }

    fn wrong_type<T>(&self, at: &Spanned<DeValue<'s>>, key: &str, wanted: &str, found: &DeValue<'_>) -> Option<T> {
        self.faults.add(at.span(), &format!("`{key}` is {}", found.type_str()), &format!("it must be {wanted}"));
        None
    }
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::String(number.to_string()), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(boolean) => Value::Bool(*boolean),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(array) => Value::Array(array.iter().map(|element| json(element.get_ref())).collect()),
        DeValue::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect())
        }
    }
}
