"""What can be wrong with a descriptor or happen on the bus while it is worked on."""

from enum import IntEnum

FAULT_BITS = 8


class Fault(IntEnum):
    """The sticky code of the first fault; the address that goes with it is in brackets.

    VERSION:        magic number or version of the descriptor (its field)
    RESERVED:       a flag or field that has to be zero is not (its field)
    FORMAT:         number formats other than the machine's (its field)
    DIMENSION:      a dimension is zero or too large (its field)
    GROUP:          query heads are not a multiple of key/value heads (its field)
    SCALE:          mantissa or exponent of the scale out of range (its field)
    OFFSET:         causal offset out of range (its field)
    ALIGNMENT:      a pointer or stride is no multiple of its element's size (its field)
    OVERFLOW:       a tensor ends beyond the address space (its pointer's field)
    OVERLAP:        rows of O or of LSE overlap each other (the tensor's pointer's field)
    KEY_LENGTH:     a key length in memory is larger than S (the length)
    READ_RESPONSE:  SLVERR or DECERR on a read (the beat)
    READ_LAST:      RLAST missing on the last beat of a burst, or set on another (the beat)
    WRITE_RESPONSE: SLVERR or DECERR on a write (the burst)
    ABORTED:        the host asked for it (the descriptor)
    QUEUE:          more descriptors are queued than the ring holds (the ring)
    SCORE_RECORD:   a field of the score record is not as it has to be (its 32-bit word)
    SEGMENT:        a segment in a list cannot be, or the list ends too early or too late (the segment)
    """

    NONE = 0
    VERSION = 1
    RESERVED = 2
    FORMAT = 3
    DIMENSION = 4
    GROUP = 5
    SCALE = 6
    OFFSET = 7
    ALIGNMENT = 8
    OVERFLOW = 9
    OVERLAP = 10
    KEY_LENGTH = 11
    READ_RESPONSE = 12
    READ_LAST = 13
    WRITE_RESPONSE = 14
    ABORTED = 15
    QUEUE = 16
    SCORE_RECORD = 17
    SEGMENT = 18
