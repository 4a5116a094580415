"""The proofs, a file a subject."""

from rtl_tests.formal.subjects import (
    bursts,
    forks,
    handshakes,
    numbers,
    queues,
    reads,
    registers,
    row_buffer,
    sequencer,
    tensors,
    writes,
)

SUBJECTS = (queues, forks, row_buffer, bursts, reads, writes, tensors, registers, sequencer, numbers, handshakes)
PROOFS = tuple(proof for subject in SUBJECTS for proof in subject.PROOFS)
