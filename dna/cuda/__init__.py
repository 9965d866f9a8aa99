"""The CUDA side: the phases of `dna.backend.Backend` as kernels, one file a phase. Nothing here is imported before a GPU is asked for."""
