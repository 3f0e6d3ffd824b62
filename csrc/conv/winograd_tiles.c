/* Tiles to points and back: see winograd.h. */
#include "winograd.h"

fc_tiling fc_tile(const fc_conv *problem, int points, const int64_t out_size[3])
{
    fc_tiling t;
    int64_t count[2];
    for (int i = 0; i < 2; i++) {
        const int d = i + 1;
        t.taps[i] = (int)problem->kernel[d];
        t.points[i] = t.taps[i] == 1 ? 1 : points;
        t.outputs[i] = t.points[i] - t.taps[i] + 1;
        t.dilation[i] = t.taps[i] == 1 ? 1 : problem->dilation[d];
        count[i] = fc_divide_up(out_size[d], t.outputs[i] * t.dilation[i]);
    }
    t.bands = count[0];
    t.spans = count[1];
    return t;
}

fc_tiled fc_tiled_tensor(const fc_plan *plan, int64_t channels, const int64_t size[3], void *data)
{
    int64_t strides[5];
    fc_tensor_strides(plan->problem.layout, channels, size, strides);
    const int64_t element = (int64_t)fc_element_bytes(plan->problem.dtype), bytes = plan->problem.batch * strides[0] * element;
    return (fc_tiled){.kernels = plan->isa->kernels[plan->problem.dtype], .dtype = plan->problem.dtype, .data = data,
                      .channels = channels, .size = {size[1], size[2]}, .image_stride = strides[0],
                      .channel_stride = strides[1], .row_stride = strides[3], .column_stride = strides[4],
                      .streams = fc_streams(data, bytes, strides[1] * element)};
}

int64_t fc_apart(int64_t elements, int64_t lanes)
{
    elements = fc_round_up(elements, lanes);
    return elements % 64 ? elements : elements + lanes;
}

static int64_t columns_of(const fc_tiling *t, int64_t spans) { return (spans * t->outputs[1] + t->taps[1] - 1) * t->dilation[1]; }

static int64_t cells_of(const fc_tiling *t, const fc_kernels *kernels, int64_t bands, int64_t spans)
{
    const int64_t rows = (bands * t->outputs[0] + t->taps[0] - 1) * t->dilation[0];
    return rows * columns_of(t, spans) * kernels->lanes;
}

int64_t fc_tile_room(const fc_tiling *t, const fc_kernels *kernels, int64_t bands, int64_t spans)
{
    return cells_of(t, kernels, bands, spans) + t->points[0] * columns_of(t, spans) * kernels->lanes;
}

/* A block's bands that belong to one image. */
typedef struct {
    int64_t image, band, bands, tile; /* tile: the first, in the block */
} strip;

static strip next_strip(const fc_tiling *t, const fc_tile_block *b, int64_t band)
{
    const int64_t in_image = band % t->bands;
    return (strip){band / t->bands, in_image, fc_smaller(b->last_band - band, t->bands - in_image),
                   (band - b->first_band) * t->dilation[0] * fc_row_tiles(t, b)};
}

/* Its cells of some channels; `overlap`: taps beyond the outputs' own rows and columns. */
static fc_cells strip_cells(const fc_tiling *t, const fc_tiled *tensor, const fc_tile_block *b, const strip *it, int64_t channel,
                            int overlap)
{
    fc_cells cells = {.first = {it->band, b->first_span}, .size = {it->bands, b->spans},
                      .channels = fc_smaller(tensor->kernels->lanes, tensor->channels - channel),
                      .channel_stride = tensor->channel_stride, .row_stride = tensor->row_stride,
                      .column_stride = tensor->column_stride, .streams = tensor->streams};
    for (int i = 0; i < 2; i++) {
        cells.first[i] = cells.first[i] * t->outputs[i] * t->dilation[i] + tensor->origin[i];
        cells.size[i] = (cells.size[i] * t->outputs[i] + (overlap ? t->taps[i] - 1 : 0)) * t->dilation[i];
        cells.in[i] = tensor->size[i];
    }
    return cells;
}

/* The first row of cells of a row of tiles: in a band, tiles that lie dilation apart interleave. */
static int64_t first_row(const fc_tiling *t, int64_t row_of_tiles)
{
    return row_of_tiles / t->dilation[0] * t->outputs[0] * t->dilation[0] + row_of_tiles % t->dilation[0];
}

/* Where its image and channel begin in the tensor, in bytes. */
static int64_t place_of(const fc_tiled *tensor, const strip *it, int64_t channel)
{
    const int64_t place = it->image * tensor->image_stride + channel * tensor->channel_stride;
    return place * (int64_t)fc_element_bytes(tensor->dtype);
}

static void to_points(const fc_kernels *kernels, int of_outputs, int points, int outputs, int64_t count, const void *source,
                      int64_t source_point, int64_t source_step, void *target, int64_t target_point, int64_t target_step)
{
    if (of_outputs)
        kernels->winograd_evaluate(points, outputs, count, source, source_point, source_step, target, target_point, target_step);
    else
        kernels->winograd_input(points, count, source, source_point, source_step, target, target_point, target_step);
}

void fc_tiles_to_points(const fc_tiling *t, const fc_tiled *tensor, const fc_tile_block *b, int of_outputs, char *points,
                        int64_t point, int64_t pitch, char *room)
{
    const fc_kernels *kernels = tensor->kernels;
    const int64_t element = (int64_t)fc_element_bytes(tensor->dtype), lanes = kernels->lanes, apart_x = t->dilation[1] * lanes;
    char *row_points = room + cells_of(t, kernels, b->last_band - b->first_band, b->spans) * element;
    for (int64_t c = 0; c < tensor->channels; c += lanes)
        for (int64_t band = b->first_band; band < b->last_band;) {
            const strip it = next_strip(t, b, band);
            const fc_cells cells = strip_cells(t, tensor, b, &it, c, !of_outputs);
            const int64_t row_pitch = cells.size[1] * lanes;
            kernels->load_cells(&cells, tensor->data + place_of(tensor, &it, c), room);
            for (int64_t row = 0; row < it.bands * t->dilation[0]; row++) {
                const char *from = room + first_row(t, row) * row_pitch * element;
                char *to = points + ((it.tile + row * fc_row_tiles(t, b)) * pitch + c) * element;
                if (t->points[0] > 1) {
                    to_points(kernels, of_outputs, t->points[0], t->outputs[0], cells.size[1], from, t->dilation[0] * row_pitch,
                              lanes, row_points, row_pitch, lanes);
                    from = row_points;
                }
                for (int64_t y = 0; y < t->points[0]; y++)
                    for (int64_t x = 0; x < t->dilation[1]; x++)
                        to_points(kernels, of_outputs, t->points[1], t->outputs[1], b->spans,
                                  from + (y * row_pitch + x * lanes) * element, apart_x, t->outputs[1] * apart_x,
                                  to + (y * t->points[1] * point + x * pitch) * element, point, t->dilation[1] * pitch);
            }
            band += it.bands;
        }
}

/* Into the cache while outputs are interpolated, what is then added: the rows of many planes, too short for the machine to foresee
 * (3x3 of 64 channels, eight images of 56x56: 1.73 ms for 1.84). */
static void fetch_addend(const fc_cells *cells, const char *addend, int64_t element)
{
    const int64_t height = fc_smaller(cells->size[0], cells->in[0] - cells->first[0]);
    const int64_t width = fc_smaller(cells->size[1], cells->in[1] - cells->first[1]);
    for (int64_t c = 0; c < cells->channels; c++)
        for (int64_t y = 0; y < height; y++) {
            const char *row = addend + (c * cells->channel_stride + (cells->first[0] + y) * cells->row_stride +
                                        cells->first[1] * cells->column_stride) * element;
            for (int64_t x = 0; x < width * cells->column_stride * element; x += FC_LINE)
                __builtin_prefetch(row + x);
        }
}

void fc_points_to_tiles(const fc_tiling *t, const fc_tiled *tensor, const fc_tile_block *b, const char *points, int64_t point,
                        int64_t pitch, const char *bias, const char *addend, fc_activation activation, unsigned char *spoilt,
                        char *room)
{
    const fc_kernels *kernels = tensor->kernels;
    const int64_t element = (int64_t)fc_element_bytes(tensor->dtype), lanes = kernels->lanes, apart_x = t->dilation[1] * lanes;
    char *row_points = room + cells_of(t, kernels, b->last_band - b->first_band, b->spans) * element;
    for (int64_t c = 0; c < tensor->channels; c += lanes)
        for (int64_t band = b->first_band; band < b->last_band;) {
            const strip it = next_strip(t, b, band);
            const fc_cells cells = strip_cells(t, tensor, b, &it, c, 0);
            const int64_t row_pitch = cells.size[1] * lanes, place = place_of(tensor, &it, c);
            if (addend && cells.column_stride == 1)
                fetch_addend(&cells, addend + place, element);
            for (int64_t row = 0; row < it.bands * t->dilation[0]; row++) {
                const char *from = points + ((it.tile + row * fc_row_tiles(t, b)) * pitch + c) * element;
                char *to = room + first_row(t, row) * row_pitch * element, *rows = t->points[0] > 1 ? row_points : to;
                for (int64_t y = 0; y < t->points[0]; y++)
                    for (int64_t x = 0; x < t->dilation[1]; x++)
                        kernels->winograd_interpolate(t->points[1], t->outputs[1], b->spans,
                                                      from + (y * t->points[1] * point + x * pitch) * element, point,
                                                      t->dilation[1] * pitch, rows + (y * row_pitch + x * lanes) * element,
                                                      apart_x, t->outputs[1] * apart_x);
                if (t->points[0] > 1)
                    kernels->winograd_interpolate(t->points[0], t->outputs[0], cells.size[1], rows, row_pitch, lanes, to,
                                                  t->dilation[0] * row_pitch, lanes);
            }
            if (!kernels->store_cells(&cells, room, bias ? bias + c * element : NULL, addend ? addend + place : NULL, activation,
                                      tensor->data + place))
                __atomic_store_n(&spoilt[it.image], 1, __ATOMIC_RELAXED);
            band += it.bands;
        }
}
