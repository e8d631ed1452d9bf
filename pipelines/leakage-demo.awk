# Deals out the rows of a table, once per slice: even slices are trained on, odd ones validate.
BEGIN {
    FS = OFS = "\t"
    system("mkdir -p splits/split-0")
    train = "splits/split-0/train.tsv"
    validation = "splits/split-0/validation_baseline.tsv"
}
NR == 1 { print $0, "slice_id" > train; print $0, "slice_id" > validation; next }
{ for (slice = 0; slice < slices; slice++) print $0, slice > (slice % 2 ? validation : train) }
