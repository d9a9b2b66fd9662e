"""One page of HTML about embedded conformers that needs nothing but itself: no server, no network, no other file.

Text is put in by `markup.tag`, which escapes it; numbers go to `report.js` as JSON. 3Dmol.js, which draws molecules,
is a copy of 3dmol 2.5.5 of npm (`3Dmol-LICENSE.txt`).
"""
