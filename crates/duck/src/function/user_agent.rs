//! `device(user_agent)` and `browser(user_agent)`.

use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;

use arrow::array::{Array, StringArray, StringBuilder};
use duckdb::core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId};
use duckdb::vscalar::{ScalarFunctionSignature, VScalar};
use duckdb::vtab::arrow::{WritableVector, data_chunk_to_arrow, write_arrow_array_to_vector};
use thalweg_enrich::{Agent, Devices};

thread_local! {
    /// What this thread of the engine has asked already.
    static DEVICES: RefCell<Devices> = RefCell::new(Devices::new());
}

/// The class of device.
pub(super) struct Device;

/// The browser, bot or program.
pub(super) struct Browser;

impl VScalar for Device {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Result<(), Box<dyn Error>> {
        answer(input, output, |agent| Some(agent.device.as_str()))
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature()]
    }
}

impl VScalar for Browser {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Result<(), Box<dyn Error>> {
        answer(input, output, |agent| agent.browser.as_deref())
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature()]
    }
}

fn signature() -> ScalarFunctionSignature {
    let text = || LogicalTypeHandle::from(LogicalTypeId::Varchar);
    ScalarFunctionSignature::exact(vec![text()], text())
}

fn answer(
    input: &DataChunkHandle,
    output: &mut dyn WritableVector,
    part: fn(&Agent) -> Option<&str>,
) -> Result<(), Box<dyn Error>> {
    let batch = data_chunk_to_arrow(input)?;
    let Some(texts) = batch.column(0).as_any().downcast_ref::<StringArray>() else {
        return Err("a user agent is a text".into());
    };
    let mut answers = StringBuilder::new();
    DEVICES.with_borrow_mut(|devices| {
        for text in texts {
            answers.append_option(text.and_then(|text| part(devices.agent(text))));
        }
    });
    write_arrow_array_to_vector(&(Arc::new(answers.finish()) as Arc<dyn Array>), output)
}
