"""The CUDA side: the phases of `dna.backend.Backend` as kernels, one file a phase. Imported when a GPU is asked for."""
