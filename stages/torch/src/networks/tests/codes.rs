//! The codes of autoencoders.

use serde_json::json;

use super::*;

fn built(name: &str, input_size: &[i64], options: Value) -> Box<dyn Network> {
    let session = Session::for_test();
    session.seed(3);
    let spec = NetworkSpec {
        declaration: declared(name).unwrap(),
        input_size: input_size.to_vec(),
        output_size: 0,
        options: options.as_object().unwrap().clone(),
        module: None,
    };
    build(&spec, &session).unwrap()
}

fn outputs_and_code(network: &dyn Network, input_size: &[i64]) -> (Outputs, Option<Tensor>) {
    let images = numbered_images(2, input_size);
    let outputs = tch::no_grad(|| network.outputs(&images, Mode::Evaluate)).unwrap();
    let code = tch::no_grad(|| network.code(&images, &outputs)).unwrap();
    (outputs, code)
}

#[test]
fn the_code_of_a_variational_autoencoder_is_its_mean_and_not_the_log_variance_of_clinicadl_1_6_1() {
    let volume: &[i64] = &[1, 16, 16, 16];
    let slice: &[i64] = &[1, 16, 16];
    let coder = json!({ "latent_size": 3, "conv_args": { "channels": [2] } });
    for (name, size, options) in [
        ("CVAE_3D", volume, json!({})),
        ("CVAE_3D_half", volume, json!({})),
        ("CVAE_3D_final_conv", volume, json!({})),
        ("Vanilla3DdenseVAE", volume, json!({ "n_conv": 2 })),
        ("Vanilla3DspacialVAE", volume, json!({ "n_conv": 2 })),
        ("VanillaDenseVAE", slice, json!({})),
        ("VanillaSpatialVAE", slice, json!({})),
        ("VAE", volume, coder),
    ] {
        let (outputs, code) = outputs_and_code(built(name, size, options).as_ref(), size);
        let latent = outputs.latent.unwrap();
        let code = code.unwrap();
        assert!(code.equal(&latent.mean), "{name}");
        assert!(!code.equal(&latent.log_variance), "{name}");
    }
}

#[test]
fn the_code_of_an_autoencoder_is_what_its_decoder_decodes() {
    let volume: &[i64] = &[1, 18, 18, 18];
    let slice: &[i64] = &[1, 18, 18];
    let coder = json!({ "latent_size": 3, "conv_args": { "channels": [2] } });
    for (name, size, options, length) in [
        ("AE_Conv4_FC3", volume, json!({}), None),
        ("AE_Conv5_FC3", slice, json!({}), None),
        (
            "CAE_half",
            volume,
            json!({ "latent_space_size": 5 }),
            Some(5),
        ),
        ("AutoEncoder", slice, coder, Some(3)),
    ] {
        let network = built(name, size, options);
        let (outputs, code) = outputs_and_code(network.as_ref(), size);
        let code = code.unwrap();
        if let Some(length) = length {
            assert_eq!(code.size(), [2, length], "{name}");
        }
        let chain = network.chain().unwrap();
        let is_encoder = |(name, _): &&(String, &dyn Layer)| name.starts_with("encoder.");
        let encoder = chain.iter().take_while(is_encoder).count();
        assert!(encoder > 0 && encoder < chain.len(), "{name}");
        let decoder: Vec<&dyn Layer> = chain[encoder..].iter().map(|(_, layer)| *layer).collect();
        let decoded = tch::no_grad(|| forward_all(&decoder, &code, Mode::Evaluate)).unwrap();
        assert!(decoded.equal(&outputs.prediction), "{name}");
    }
}

#[test]
fn other_networks_have_no_code() {
    let network = built("Layers", &[1, 8, 8], json!({ "layers": ["relu"] }));
    assert!(outputs_and_code(network.as_ref(), &[1, 8, 8]).1.is_none());
}
