"""The page of one or several sweeps: what work directories hold, as one HTML file.

Does not belong here: computing any finding, or what only one work directory's own run
knows; a page is made from files alone, so that it can be made again at any time.
"""
