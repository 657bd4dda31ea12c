"""Operations that count 0 FLOPs by convention."""

from functools import cache
from typing import Any

import torch

__all__ = ["is_free"]

_MOVES = """
    alias as_strided block_diag cat channel_shuffle chunk_cat clone col2im constant_pad_nd contiguous copy detach
    diag_embed diagonal diagonal_scatter embedding expand flip gather im2col index index_fill index_put
    index_select lazy_clone lift lift_fresh masked_scatter masked_select narrow nonzero nonzero_static
    permute pin_memory pixel_shuffle pixel_unshuffle put reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape_alias resize resize_as
    resize_output roll rot90 scatter select select_scatter set slice slice_scatter split split_with_sizes squeeze stack
    as_strided_scatter t take to transpose tril triu unbind unfold unsafe_index unsafe_index_put unsafe_masked_index
    unsafe_split unsafe_split_with_sizes unsafe_view unsqueeze view view_as_complex view_as_real
    to_sparse to_sparse_csr to_sparse_csc to_sparse_bsr to_sparse_bsc to_dense coalesce
    max_unpool2d max_unpool3d jagged_to_padded_dense_forward padded_dense_to_jagged_forward
"""
_MAKES = """
    arange bartlett_window blackman_window complex empty empty_like empty_permuted empty_strided eye fft_fftfreq
    fft_rfftfreq fill full full_like hamming_window hann_window kaiser_window linspace logspace new_empty
    new_empty_strided new_full new_ones new_zeros ones ones_like polar range scalar_tensor tril_indices triu_indices
    zero zeros zeros_like efficientzerotensor
"""
_DRAWS = """
    bernoulli binomial cauchy exponential fused_dropout geometric log_normal multinomial native_dropout normal
    normal_functional poisson rand rand_like randint randint_like randn randn_like random randperm
    rrelu_with_noise rrelu_with_noise_functional standard_gamma uniform
"""
_REDUCES = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d all amax amin
    aminmax any argmax argmin avg_pool1d avg_pool2d avg_pool3d bincount bucketize count_nonzero cummax cummax_helper
    cummin cummin_helper cumprod cumsum fractional_max_pool2d fractional_max_pool3d histc index_add index_reduce isin
    kthvalue logcumsumexp logsumexp max_pool2d_with_indices max_pool3d_with_indices mean median mode
    nanmedian nansum prod scatter_add scatter_reduce searchsorted segment_reduce sort std std_mean sum
    topk trace unique unique2 unique_consecutive unique_dim unique_dim_consecutive unsafe_masked_index_put_accumulate
    var var_mean
"""
_NORMALISES = """
    batch_norm_no_update batch_norm_with_update batch_norm_with_update_functional dist embedding_renorm
    linalg__powsum linalg_vector_norm log_softmax masked_softmax native_batch_norm native_batch_norm_legit
    native_batch_norm_legit_functional native_batch_norm_legit_no_training native_group_norm native_layer_norm
    native_norm norm renorm safe_softmax softmax weight_norm_interface
"""
_POINTWISE = """
    addr add_relu binary_cross_entropy binary_cross_entropy_with_logits dequantize
    fake_quantize_learnable_per_channel_affine fake_quantize_learnable_per_tensor_affine
    fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask_tensor_qparams floor_divide glu hardswish huber_loss
    linalg_cross log_sigmoid_forward mse_loss multi_margin_loss multilabel_margin_loss_forward
    nll_loss2d_forward nll_loss_forward prelu_kernel quantize_per_channel quantize_per_tensor
    quantize_per_tensor_dynamic smooth_l1_loss soft_margin_loss thnn_fused_gru_cell thnn_fused_lstm_cell
    transform_bias_rescale_qkv
"""
_RESAMPLES = """
    affine_grid_generator grid_sampler_2d grid_sampler_3d upsample_bicubic2d upsample_bicubic2d_aa upsample_bilinear2d
    upsample_bilinear2d_aa upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_nearest_exact1d upsample_nearest_exact2d upsample_nearest_exact3d upsample_trilinear3d
"""
_FREE = frozenset(" ".join((_MOVES, _MAKES, _DRAWS, _REDUCES, _NORMALISES, _POINTWISE, _RESAMPLES)).split())


@cache
def is_free(operation: Any) -> bool:
    """Return whether an operation (an overload) counts 0 FLOPs.

    These are pointwise operations (by torch's tag), data movement, factories, random draws, reductions, scans and
    sorting, softmax and norms, losses, pooling and resampling, and operations that neither return nor change a tensor.
    Apart from resampling, none of them sums products of its inputs.
    """
    schema = operation._schema
    if not schema.is_mutable and not any("Tensor" in str(result.type) for result in schema.returns):
        return True
    if operation.namespace != "aten":
        return False
    name = _base_name(schema.name.removeprefix("aten::"))
    return name in _FREE or operation.is_view or _is_pointwise(name)


def _base_name(name: str) -> str:
    """Remove the affixes of variants from a name: in place, for lists, copying, internal."""
    return name.removeprefix("_foreach_").strip("_").removesuffix("_copy")


def _is_pointwise(name: str) -> bool:
    packet = getattr(torch.ops.aten, name, None)
    overloads = [] if packet is None else [getattr(packet, each) for each in packet.overloads()]
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)
