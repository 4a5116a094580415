"""The machine's parts, cycle by cycle: what each of them holds, without the data.

Every part has the registers of the hardware that decide about time, under the same names, and a `tick` that is one
clock cycle. Parts tick from the end of a stream to its beginning: who takes something sees what was offered before the
cycle and says so (`taken`), and who offered it ticks behind.
"""
