"""The files of `resift:multilingual`, in the folder `model` beside this file. resift reads them; here is no code."""
