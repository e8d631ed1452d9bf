//! The images of sessions, one cached item each.

use engine::items::Item;
use engine::seed::Stream;
use engine::{Context, Stage, StageError};
use rand_distr::{Distribution, Normal};
use serde_json::json;

use super::deformation::Deformation;
use super::sessions::{self, Session};
use super::template::greatest;
use super::{CLASSES, Generate, GenerateParams, Sources};
use crate::io::nifti;
use crate::parallel::for_each;
use crate::volume::Volume;

/// Generates every image that is not in the store, as many at once as there are processors.
pub(super) fn generate(
    params: &GenerateParams,
    sources: &Sources,
    sessions: &[Session],
    context: &Context,
) -> Result<Vec<Item>, StageError> {
    let mut semantic = serde_json::to_value(params).map_err(StageError::internal)?;
    // How many others there are does not matter to an image.
    for field in ["n_participants", "follow_up_fraction"] {
        semantic
            .as_object_mut()
            .map(|fields| fields.shift_remove(field));
    }
    let template = context.input("template")?.digest;
    let mask = context.optional_input("mask").map(|mask| mask.digest);
    for_each(sessions, context, "images", |session| {
        let stream = sessions::stream(context, session.number);
        let identity = json!({
            "stage": Generate::ID,
            "version": Generate::VERSION,
            "params": semantic,
            "mask": mask,
            "seed": stream.seed().to_string(),
            "session": session.session,
            "class": CLASSES[session.class],
        });
        context.item(&identity, template, |path| {
            nifti::write(path, &image(params, sources, session, &stream)?)
        })
    })
}

/// One image: the deformation is the participant's, gain and noise are the session's.
fn image(
    params: &GenerateParams,
    sources: &Sources,
    session: &Session,
    stream: &Stream,
) -> Result<Volume, StageError> {
    let template = &sources.template;
    let source = match session.class {
        0 => &sources.ill,
        _ => &template.data,
    };
    let deformation = Deformation::draw(
        template.shape,
        template.spacing_mm(),
        params.deformation_mm,
        &mut stream.child("deformation").rng(),
    );
    let mut data = deformation.apply(source, template.shape);
    let mut rng = stream.child(session.session).rng();
    let normal = |sd: f64| Normal::new(0.0, sd).map_err(StageError::internal);
    let gain = 1.0 + normal(params.gain_percent / 100.0)?.sample(&mut rng);
    let noise = normal(f64::from(greatest(template)) * params.noise_percent / 100.0)?;
    for value in &mut data {
        let noisy = f64::from(*value) * gain + noise.sample(&mut rng);
        *value = noisy.max(0.0) as f32;
    }
    Ok(Volume {
        data,
        shape: template.shape,
        affine: template.affine,
    })
}
