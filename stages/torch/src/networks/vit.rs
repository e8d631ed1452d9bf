//! `ViT`.

use engine::StageError;
use engine::profile::operations;
use stages::learning::networks::vit::{VIT, VitOptions};
use tch::{Device, Kind, TchError, Tensor};

use super::layers::{
    Activation, Builder, Conv, Dense, Dropout, Layer, LayerNorm, Make, Sequential, block,
};
use super::plain::Plain;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &VIT,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Patches, their places, blocks of attention, and a fully connected layer on a token of its own.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]`, no axis shorter than a patch; what is left of an axis is not seen. Output
/// `[B, output_size]`.
///
/// # Source
/// Dosovitskiy et al. 2021, arXiv:2010.11929; `monai.networks.nets.ViT` of MONAI 1.5 with
/// `classification=True` and `proj_type="conv"`, tensors that nothing uses included. Deviation: outputs
/// are no hyperbolic tangents unless asked for, which losses of logits cannot learn from.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    let options: VitOptions = spec.options()?;
    let edge = i64::from(options.patch_size);
    spec.needs_axes_of(edge)?;
    let axes = spec.input_size.len() - 1;
    let hidden = i64::from(options.hidden_size);
    let patches: i64 = spec.input_size[1..]
        .iter()
        .map(|axis| axis / edge)
        .product();
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let (patch, places) = builder.within("patch_embedding", |b| {
            let conv = Conv::new(axes, spec.input_size[0], hidden, edge).stride(edge);
            let conv = b.layer("patch_embeddings", conv)?;
            let places = truncated_normal(&[1, patches, hidden])?;
            Ok::<_, TchError>((conv, b.parameter("position_embeddings", places)))
        })?;
        let dropout = builder.layer("dropout", Dropout(options.dropout_rate))?;
        let blocks = Sequential::make_in(&mut builder, "blocks", |s| {
            for _ in 0..options.num_layers {
                s.add(Block(&options))?;
            }
            Ok(())
        })?;
        let norm = builder.layer("norm", LayerNorm(hidden))?;
        let token = Tensor::f_zeros([1, 1, hidden], (Kind::Float, Device::Cpu))?;
        let token = builder.parameter("cls_token", token);
        let dense = Dense::new(hidden, spec.output_size);
        let head: Box<dyn Layer> = if options.tanh {
            let layers = Sequential::make_in(&mut builder, "classification_head", |s| {
                s.add(dense)?;
                s.add(Activation::Tanh)
            })?;
            Box::new(layers)
        } else {
            builder.layer("classification_head", dense)?
        };
        let mut state = builder.finish();
        // Tensors of a module come before those of modules in it.
        state.sort_after(0, |name| match name {
            "cls_token" => 0,
            "patch_embedding.position_embeddings" => 1,
            _ => 2,
        });
        Ok(Plain {
            state,
            layer: Box::new(Transformer {
                embedding: Embedding {
                    patch,
                    places,
                    dropout,
                    token,
                },
                blocks,
                norm,
                head: Head(head),
            }),
        })
    };
    make().during("build the network")
}

/// Normal numbers of deviation 0.02, of which none is longer than 2.
///
/// # Source
/// `torch.nn.init.trunc_normal_` of PyTorch 2.13: the inverse of the distribution, so that the same
/// generator gives the same numbers.
fn truncated_normal(shape: &[i64]) -> Result<Tensor, TchError> {
    let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
    drop(tensor.f_uniform_(-1.0, 1.0)?);
    let deviation = 0.02 * 2.0_f64.sqrt();
    tensor
        .f_erfinv()?
        .f_mul_scalar(deviation)?
        .f_clamp(-2.0, 2.0)
}

#[derive(Debug)]
struct Transformer {
    embedding: Embedding,
    blocks: Sequential,
    norm: Box<dyn Layer>,
    head: Head,
}

impl Layer for Transformer {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let sequence = self.embedding.forward(x, mode)?;
        let sequence = self.blocks.forward(&sequence, mode)?;
        self.head
            .forward(&self.norm.forward(&sequence, mode)?, mode)
    }

    fn parts(&self) -> Option<Vec<(String, &dyn Layer)>> {
        let mut parts: Vec<(String, &dyn Layer)> =
            vec![("patch_embedding".to_owned(), &self.embedding)];
        parts.extend(self.blocks.parts().unwrap_or_default());
        parts.push(("norm".to_owned(), self.norm.as_ref()));
        parts.push(("classification_head".to_owned(), &self.head));
        Some(parts)
    }

    fn describe(&self) -> Vec<String> {
        let parts = [
            ("patch_embedding", self.embedding.describe()),
            ("blocks", self.blocks.describe()),
            ("norm", self.norm.describe()),
            ("classification_head", self.head.describe()),
        ];
        block("ViT", parts.into_iter())
    }
}

/// Patches with their places, behind a token.
#[derive(Debug)]
struct Embedding {
    patch: Box<dyn Layer>,
    /// What is added to each patch, `[1, N, H]`.
    places: Tensor,
    dropout: Box<dyn Layer>,
    /// The first of the sequence, `[1, 1, H]`.
    token: Tensor,
}

impl Layer for Embedding {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let patches = self
            .patch
            .forward(x, mode)?
            .f_flatten(2, -1)?
            .f_transpose(1, 2)?;
        let placed = self.dropout.forward(&patches.f_add(&self.places)?, mode)?;
        // As many as images, of whatever number a pass was taken down.
        let token = self.token.f_expand_as(&placed.f_narrow(1, 0, 1)?)?;
        Tensor::f_cat(&[token, placed], 1)
    }

    fn describe(&self) -> Vec<String> {
        let patch = [("patch_embeddings", self.patch.describe())];
        block("PatchEmbeddingBlock", patch.into_iter())
    }
}

/// What becomes of the token.
#[derive(Debug)]
struct Head(Box<dyn Layer>);

impl Layer for Head {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.0.forward(&x.f_select(1, 0)?, mode)
    }

    fn describe(&self) -> Vec<String> {
        self.0.describe()
    }
}

/// A block to make.
struct Block<'o>(&'o VitOptions);

impl Make for Block<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let options = self.0;
        let hidden = i64::from(options.hidden_size);
        let wide = i64::from(options.mlp_dim);
        let mlp = Sequential::make_in(builder, "mlp", |s| {
            s.add_as("linear1", Dense::new(hidden, wide))?;
            s.add_as("fn", Activation::Gelu)?;
            s.add_as("drop1", Dropout(options.dropout_rate))?;
            s.add_as("linear2", Dense::new(wide, hidden))?;
            s.add_as("drop2", Dropout(options.dropout_rate))
        })?;
        let before = builder.layer("norm1", LayerNorm(hidden))?;
        let bias = options.qkv_bias;
        let attention = builder.within("attn", |b| {
            let out = b.layer("out_proj", Dense::new(hidden, hidden))?;
            let dense = Dense {
                bias,
                ..Dense::new(hidden, 3 * hidden)
            };
            Ok::<_, TchError>(Attention {
                heads: i64::from(options.num_heads),
                weights_dropout: b.layer("drop_weights", Dropout(options.dropout_rate))?,
                dropout: b.layer("drop_output", Dropout(options.dropout_rate))?,
                qkv: b.layer("qkv", dense)?,
                out,
            })
        })?;
        let after = builder.layer("norm2", LayerNorm(hidden))?;
        // Of attention to another sequence, which there is none of.
        builder.idle("norm_cross_attn", LayerNorm(hidden))?;
        builder.within("cross_attn", |b| {
            b.idle("out_proj", Dense::new(hidden, hidden))?;
            for name in ["to_q", "to_k", "to_v"] {
                let dense = Dense {
                    bias,
                    ..Dense::new(hidden, hidden)
                };
                b.idle(name, dense)?;
            }
            Ok::<_, TchError>(())
        })?;
        Ok(Box::new(Attending {
            before,
            attention,
            after,
            mlp,
        }))
    }
}

/// The sequence plus what its parts find in each other, plus what a network makes of each part.
#[derive(Debug)]
struct Attending {
    before: Box<dyn Layer>,
    attention: Attention,
    after: Box<dyn Layer>,
    mlp: Sequential,
}

impl Layer for Attending {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let found = self
            .attention
            .forward(&self.before.forward(x, mode)?, mode)?;
        let x = x.f_add(&found)?;
        x.f_add(&self.mlp.forward(&self.after.forward(&x, mode)?, mode)?)
    }

    fn is_block(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let parts = [
            ("mlp", self.mlp.describe()),
            ("norm1", self.before.describe()),
            ("attn", self.attention.describe()),
            ("norm2", self.after.describe()),
        ];
        block("TransformerBlock", parts.into_iter())
    }
}

#[derive(Debug)]
struct Attention {
    heads: i64,
    weights_dropout: Box<dyn Layer>,
    dropout: Box<dyn Layer>,
    qkv: Box<dyn Layer>,
    out: Box<dyn Layer>,
}

impl Layer for Attention {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let [_, length, hidden] = x.size()[..] else {
            return Err(TchError::Shape("expected a sequence".to_owned()));
        };
        let (heads, each) = (self.heads, hidden / self.heads);
        let qkv = self
            .qkv
            .forward(x, mode)?
            .f_view([-1, length, 3, heads, each])?;
        // [3, B, heads, N, each]
        let qkv = qkv.f_permute([2, 0, 3, 1, 4])?;
        let (q, k, v) = (
            qkv.f_select(0, 0)?,
            qkv.f_select(0, 1)?,
            qkv.f_select(0, 2)?,
        );
        let scale = (each as f64).powf(-0.5);
        let weights = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?;
        let weights = weights.f_softmax(-1, None::<Kind>)?;
        let weights = self.weights_dropout.forward(&weights, mode)?;
        let found = weights.f_matmul(&v)?.f_transpose(1, 2)?;
        // Both products multiply each token of every head with every other.
        operations(|| 4.0 * (x.size()[0] * length * length * hidden) as f64);
        let found = found.f_reshape([-1, length, hidden])?;
        self.dropout.forward(&self.out.forward(&found, mode)?, mode)
    }

    fn describe(&self) -> Vec<String> {
        let parts = [
            ("out_proj", self.out.describe()),
            ("qkv", self.qkv.describe()),
        ];
        block("SABlock", parts.into_iter())
    }
}
