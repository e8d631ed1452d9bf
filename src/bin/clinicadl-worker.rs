fn main(){ println!("{:?}", stages_torch::x()); }
