"""Film -> frames with their true times: upright, square pixels, sRGB; and back. Only here is PyAV imported.

How a film is shown is decided once, here:

    time            the frame's own timestamp, less that of the film's beginning, as players show it. A frame
                    without one follows the frame before by its duration; so does one whose timestamp goes
                    back, or lies beyond `MOST_SECONDS`
    turning         the display matrix is applied: 90, 180, 270 degrees, mirrored
    pixel shape     oblong pixels are made square, by widening
    colour          limited or full range as stated; where the matrix is not stated, that of HD from 720 lines
                    on, else that of SD, as players do
    PQ, HLG (HDR)   tone mapped to sRGB for a screen of 203 cd/m2, see `colour.as_sdr`
    transparency    laid on white, as `images` does
    two fields      shown as they are stored, interwoven; `Film.interlaced` is true

Frames come one after the other and are scaled as they come, so that memory does not grow with the film's
length and hardly with its size. A packet that cannot be decoded is counted, and decoding goes on.

Letters: H x W pixels of a frame as shown, h x w as scaled.

    opening.py   a file, an address or a camera
    reader.py    an open film and its frames
    look.py      how a frame is shown
    live.py      the newest frame of what is live
    stills.py    frames by their seconds
    writer.py    a film written again, with something drawn on it
"""

from affectlens.video.live import NewestFrames as NewestFrames
from affectlens.video.opening import hardware as hardware
from affectlens.video.opening import is_live as is_live
from affectlens.video.opening import without_password as without_password
from affectlens.video.reader import MOST_SECONDS as MOST_SECONDS
from affectlens.video.reader import UNKNOWN_RATE as UNKNOWN_RATE
from affectlens.video.reader import Film as Film
from affectlens.video.reader import Frame as Frame
from affectlens.video.reader import Video as Video
from affectlens.video.stills import SAME_TIME as SAME_TIME
from affectlens.video.stills import frame_at as frame_at
from affectlens.video.stills import frames_at as frames_at
from affectlens.video.stills import stills as stills
