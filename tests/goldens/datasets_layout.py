"""Reads a dataset folder as Hugging Face's load_from_disk does, with pyarrow alone, and writes its rows as JSON.

Usage: python3 datasets_layout.py FOLDER OUT. Fails when the layout, the schema or the features are not what load_from_disk wants.
"""

import json
import os
import sys

import pyarrow as pa


def main(folder, target):
    with open(os.path.join(folder, "state.json")) as f:
        state = json.load(f)
    with open(os.path.join(folder, "dataset_info.json")) as f:
        features = json.load(f)["features"]
    for key in ["_fingerprint", "_format_columns", "_format_kwargs", "_format_type", "_output_all_columns", "_split"]:
        assert key in state, key
    rows = []
    for shard in state["_data_files"]:
        with pa.memory_map(os.path.join(folder, shard["filename"])) as source:
            table = pa.ipc.open_stream(source).read_all()
        assert table.schema.names == list(features), table.schema
        for field in table.schema:
            assert field.type == pa.list_(pa.int32()), field
            assert features[field.name] == {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"}, features
        rows += table.to_pylist()
    with open(target, "w") as f:
        json.dump(rows, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
