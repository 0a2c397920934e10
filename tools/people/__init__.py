"""The steps by which `tools/bake_people.py` makes scamo/body/people.npz: source, skeleton, clothes, head, decimate."""
